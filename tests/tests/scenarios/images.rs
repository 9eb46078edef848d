//! Jobs that bring their own programs: images from a registry and from a file, with a real registry server.

use std::{fs, path::Path};

use compute_share_tests::{
    Agent, Org, Person,
    oci::{Blob, Image, Layer, shell_layer},
    registry::Registry,
    until,
};

const SMALL: [&str; 7] = [
    "--no-workdir",
    "--cpu",
    "0.5",
    "--memory",
    "64MiB",
    "--disk",
    "64MiB",
];

fn run<'a>(image: &'a str, program: &[&'a str]) -> Vec<&'a str> {
    [&["run"], &SMALL[..], &["--image", image, "--"], program].concat()
}

/// A shell, and a file that tells one image from another.
fn tool(motto: &str) -> Image {
    let motto = Layer::default().file("etc/motto", 0o600, motto.as_bytes());
    Image::of(&[shell_layer(), motto], &["COLOUR=blue", "PATH=/bin"])
}

/// Starts an agent whose owner lets jobs ask this registry, although it is in the owner's own network.
fn agent(org: &Org, registry: &Registry) -> Agent {
    let folder = org.alice.agent_folder();
    fs::create_dir_all(&folder).unwrap();
    let rules = format!("what: {{registries: [\"{}\"]}}\n", registry.address());
    fs::write(folder.join("owner.yaml"), rules).unwrap();
    org.agent(&org.alice, "box")
}

fn home(person: &Person) -> std::path::PathBuf {
    person.here().parent().map(Path::to_owned).unwrap()
}

fn sign_in(person: &Person, registry: &str, pair: &str) {
    let folder = home(person).join(".docker");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(r#"{{"auths":{{"{registry}":{{"auth":"{pair}"}}}}}}"#);
    fs::write(folder.join("config.json"), text).unwrap();
}

#[test]
fn a_job_runs_in_the_image_that_its_tag_meant_when_it_was_submitted() {
    let org = Org::start();
    let registry = Registry::open(&org.folder().join("registry"));
    let _agent = agent(&org, &registry);
    registry.push("lab/tool", "v1", &tool("first\n"));
    let name = format!("{}/lab/tool:v1", registry.address());
    let script = "cat /etc/motto; echo $COLOUR; id -u; ls /; test -e /usr || echo alone; exit 7";
    let first = org.alice.run(&run(&name, &["sh", "-c", script]));
    assert_eq!(first.code, Some(7), "{}", first.stderr);
    assert!(
        first.stdout.starts_with("first\nblue\n1000\n"),
        "{}",
        first.stdout
    );
    assert!(first.stdout.ends_with("alone\n"), "{}", first.stdout);
    let shown = org.alice.json(&["job", "show", "1"]).to_string();
    assert!(shown.contains(&tool("first\n").manifest.digest), "{shown}");

    // The tag moves on: later jobs get what it means now, and whoever named the digest what he named.
    registry.push("lab/tool", "v1", &tool("second\n"));
    let second = org
        .alice
        .run(&run(&name, &["cat", "/etc/motto"]))
        .expect_success();
    assert_eq!(second.stdout, "second\n");
    let digest = tool("first\n").manifest.digest;
    let pinned = format!("{}/lab/tool@{digest}", registry.address());
    let again = org
        .alice
        .run(&run(&pinned, &["cat", "/etc/motto"]))
        .expect_success();
    assert_eq!(again.stdout, "first\n");
    // What is cached needs no registry.
    drop(registry);
    let cached = org
        .alice
        .run(&run(&pinned, &["cat", "/etc/motto"]))
        .expect_success();
    assert_eq!(cached.stdout, "first\n");

    // The machine's owner sees both, and in which of them something runs.
    let sleep = [&["submit"], &run(&pinned, &["sleep", "500"])[1..]].concat();
    org.alice.run(&sleep).expect_success();
    let images = until("a job in the image", || {
        let images = org.alice.json(&["image", "list"]);
        (images[0]["running"] == 1).then_some(images)
    });
    assert_eq!(images[0]["digest"], digest);
    assert!(images[0]["size"].as_u64().unwrap() > 0, "{images}");
    let called = [&images[0], &images[1]].map(|image| image["reference"].as_str().unwrap());
    assert_eq!(called, [name.as_str(); 2]);
    assert_eq!(images[1]["digest"], tool("second\n").manifest.digest);
    assert_eq!(images[1]["running"], 0);
    let shown = org.alice.run(&["image", "list"]).expect_success().stdout;
    assert!(shown.contains(&name), "{shown}");
}

#[test]
fn a_private_registry_wants_the_submitters_own_login() {
    let org = Org::start();
    let bob = org.join("bob");
    let registry = Registry::private(&org.folder().join("registry"));
    let _agent = agent(&org, &registry);
    registry.push("secret", "v1", &tool("hidden\n"));
    let address = registry.address();
    let name = format!("{address}/secret:v1");
    let cat = run(&name, &["cat", "/etc/motto"]);
    org.alice
        .run(&cat)
        .expect_refusal(3, "registry_refused")
        .names(address);
    sign_in(&org.alice, address, "YWxpY2U6Z3Vlc3M=");
    org.alice
        .run(&cat)
        .expect_refusal(3, "registry_refused")
        .names("alice");
    sign_in(&org.alice, address, "YWxpY2U6b3BlbiBzZXNhbWU=");
    let finished = org.alice.run(&cat).expect_success();
    assert_eq!(finished.stdout, "hidden\n");
    // It lies on the machine now; somebody else who knows its digest gets nothing.
    let digest = tool("hidden\n").manifest.digest;
    let pinned = format!("{address}/secret@{digest}");
    let stolen = bob.run(&run(&pinned, &["cat", "/etc/motto"]));
    assert_ne!(stolen.code, Some(0), "{}", stolen.stdout);
    assert!(!stolen.stdout.contains("hidden"), "{}", stolen.stdout);
    // Nothing that is kept, or was printed, has the password.
    let printed = fs::read_to_string(org.folder().join("coordinator.log")).unwrap_or_default();
    assert!(!printed.contains("open sesame"));
    let shown = org.alice.json(&["job", "show", "1"]).to_string();
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn an_image_from_a_file_runs_without_any_registry() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    fs::write(
        org.alice.here().join("tool.tar"),
        tool("imported\n").archive(),
    )
    .unwrap();
    org.alice
        .run(&["image", "import", "tool.tar", "--name", "tool"])
        .expect_success();
    for _ in 0..2 {
        let script = "cat /etc/motto; echo $COLOUR";
        let finished = org
            .alice
            .run(&run("imported:tool", &["sh", "-c", script]))
            .expect_success();
        assert_eq!(finished.stdout, "imported\nblue\n");
    }
    fs::write(org.alice.here().join("none.tar"), "no archive").unwrap();
    org.alice
        .run(&["image", "import", "none.tar", "--name", "none"])
        .expect_refusal(1, "bad_image");
}

#[test]
fn what_is_wrong_with_an_image_is_said_in_words() {
    let org = Org::start();
    let registry = Registry::open(&org.folder().join("registry"));
    let _agent = agent(&org, &registry);
    let address = registry.address().to_owned();
    let layer = |layer: Layer| Blob::new("application/vnd.oci.image.layer.v1.tar", layer.bytes());
    let foreign = Image::packed(vec![layer(shell_layer())], &[], "s390x");
    registry.push("foreign", "v1", &foreign);
    let evil = Layer::default()
        .symlink("etc", "/")
        .file("etc/passwd", 0o644, b"root::0:0");
    registry.push("evil", "v1", &Image::of(&[shell_layer(), evil], &[]));
    for (name, words) in [("foreign", "linux/s390x"), ("evil", "which is a link")] {
        let name = format!("{address}/{name}:v1");
        let finished = org.alice.run(&run(&name, &["true"]));
        assert_ne!(finished.code, Some(0));
        let number = org.alice.json(&["ps", "--all"])[0]["number"].to_string();
        let shown = org.alice.json(&["job", "show", &number]).to_string();
        assert!(
            shown.contains("prepare_failed") && shown.contains(words),
            "{shown}"
        );
    }
    let missing = format!("{address}/missing:v1");
    org.alice
        .run(&run(&missing, &["true"]))
        .expect_refusal(4, "image_not_found");
    drop(registry);
    org.alice
        .run(&run(&missing, &["true"]))
        .expect_refusal(125, "registry_unreachable");
}

/// Whoever submits chooses the registry, and the machine stands in its owner's network.
#[test]
fn a_machine_asks_nobody_in_its_owners_network_whom_the_owner_has_not_named() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let registry = Registry::open(&org.folder().join("registry"));
    registry.push("tool", "v1", &tool("inside\n"));
    let name = format!("{}/tool:v1", registry.address());
    let finished = org.alice.run(&run(&name, &["true"]));
    assert_ne!(finished.code, Some(0), "{}", finished.stderr);
    let shown = org.alice.json(&["job", "show", "1"]).to_string();
    for word in ["prepare_failed", "a loopback address", "has not named it"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
