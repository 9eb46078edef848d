//! What the program returns and prints where there is no coordinator: the real binary, in folders of its own.

use std::{
    error::Error,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use certs::{Authority, CertificateRequest, Identity, PrivateKey, Subject};
use common::{id::UserId, time::Timestamp};
use serde_json::{Value, json};

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(home: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_compute-share"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .output()
        .expect("the program was built with this test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Signs somebody in towards an address where nobody listens, and returns the address.
fn sign_in(home: &Path) -> Result<String, Box<dyn Error>> {
    certs::install_crypto();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp::from_unix_ms(u64::try_from(now.as_millis())?);
    let authority = Authority::create(&home.join("ca"), &"lab".parse()?, now)?;
    let key = PrivateKey::generate()?;
    let request = CertificateRequest::parse(&key.request()?)?;
    let user = UserId::from_bytes([1; 16]);
    let issued = authority.issue(&request, Subject::User(user), now, certs::MEMBER_LIFE)?;
    let config = home.join(".config/compute-share");
    std::fs::create_dir_all(&config)?;
    Identity::new(issued.chain, &key)?.save(&config.join("member.pem"))?;
    let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .to_string();
    let credentials = json!({
        "address": address, "fingerprint": authority.fingerprint(), "user": user, "handle": "alice",
        "org": UserId::from_bytes([2; 16]), "org_name": "lab",
    });
    std::fs::write(config.join("credentials.json"), credentials.to_string())?;
    Ok(address)
}

#[test]
fn a_command_before_login_says_so() {
    let home = home();
    for command in [
        &["ps"][..],
        &["whoami"],
        &["machine", "list"],
        &["run", "--no-workdir", "--", "true"],
        &["logout", "--yes"],
    ] {
        let ended = run(home.path(), command);
        assert_eq!(ended.code, Some(3), "{command:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error[not_signed_in]: "),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("\n  why: ") && ended.stderr.contains("\n help: "),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
    let ended = run(home.path(), &["ps", "-o", "json"]);
    let error: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_signed_in");
    assert!(
        error["error"]["help"]
            .as_str()
            .unwrap()
            .contains("compute-share login")
    );
}

#[test]
fn an_absent_coordinator_is_named_and_is_exit_5() {
    let home = home();
    let address = sign_in(home.path()).unwrap();
    for command in [
        &["ps"][..],
        &["run", "--no-workdir", "--", "true"],
        &["logs", "-f", "1"],
    ] {
        let ended = run(home.path(), command);
        assert_eq!(ended.code, Some(5), "{command:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error[coordinator_unreachable]"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_understood_is_exit_2() {
    let home = home();
    std::fs::write(home.path().join("job.yaml"), "comand: [true]\n").unwrap();
    #[track_caller]
    fn check(home: &Path, arguments: &[&str], expect: &str) {
        let ended = run(home, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{}", ended.stderr);
    }
    check(home.path(), &["frobnicate"], "frobnicate");
    check(
        home.path(),
        &["run", "--memory", "16 bananas", "--", "true"],
        "is not a size",
    );
    check(
        home.path(),
        &["submit", "--no-workdir", "job.yaml"],
        "did you mean `command`?",
    );
    check(home.path(), &["submit", "missing.yaml"], "missing.yaml");
    check(
        home.path(),
        &["submit", "--no-workdir"],
        "there is nothing to run",
    );
    check(
        home.path(),
        &["run", "--", "true"],
        "it is your home folder",
    );
    check(
        home.path(),
        &["join", "compute-share://half"],
        "error[bad_link]",
    );
    check(home.path(), &["join", "ABCD-EFGH-JKLM"], "--coordinator");
    check(home.path(), &["job", "show", "none"], "is not a job");
    let ended = run(home.path(), &["frobnicate", "-o", "json"]);
    let error: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(
        (ended.code, &error["error"]["code"]),
        (Some(2), &json!("bad_request"))
    );
}

#[test]
fn a_bad_name_and_a_role_that_is_not_have_their_own_codes() {
    let home = home();
    for (arguments, code, why) in [
        (
            &["member", "limits", "l\u{430}b"][..],
            "bad_name",
            "found U+0430",
        ),
        (&["ps", "--org", "lab\u{202e}"], "bad_name", "found U+202E"),
        (&["dataset", "show", "Maps@2"], "bad_name", "found 'M'"),
        (
            &["member", "set-role", "bob", "boss"],
            "no_such_role",
            "not one of member, admin, owner",
        ),
        (
            &["org", "approvals", "set", "gpu_hours_over=-1"],
            "negative_number",
            "-1 is negative",
        ),
    ] {
        let ended = run(home.path(), arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        let text = ended.stderr.as_str();
        assert!(text.starts_with(&format!("error[{code}]: ")), "{text}");
        assert!(text.contains(why) && text.contains("\n help: "), "{text}");
        let ended = run(home.path(), &[arguments, &["-o", "json"]].concat());
        let error: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(
            (ended.code, &error["error"]["code"]),
            (Some(2), &json!(code))
        );
    }
    let help = run(home.path(), &["ps", "--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_cannot_be_asked_or_printed_says_how_it_can() {
    let home = home();
    let ended = run(home.path(), &["account", "password", "set"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("nobody can be asked"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("help: Add --stdin"),
        "{}",
        ended.stderr
    );
    for other in [&["-o", "json"][..], &["-q"]] {
        let both = [&["usage", "show", "--csv"], other].concat();
        let ended = run(home.path(), &both);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("--csv, -o json and -q"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn lines_of_parameters_are_checked_before_anything_is_asked() {
    let home = home();
    let write = |text: &str| std::fs::write(home.path().join("p.jsonl"), text).unwrap();
    let submit = |words: &[&str]| {
        let ended = run(home.path(), &[&["submit", "--no-workdir"], words].concat());
        (ended.code, ended.stderr)
    };
    write("{\"lr\": 0.1}\n{\"lr\": oops}\n");
    let each = ["--each", "p.jsonl", "--", "train", "{lr}"];
    let expect = "error[bad_params]: p.jsonl cannot be used for the tasks\n  \
                  why: line 2 is not JSON: expected value (column 8)\n \
                  help: Correct the line; every line is an object of JSON, as in {\"lr\": 0.1, \"seed\": 7}.\n";
    assert_eq!(submit(&each), (Some(2), expect.to_owned()));
    let dry_run = [&["--dry-run"], &each[..]].concat();
    assert_eq!(submit(&dry_run), (Some(2), expect.to_owned()));
    let graph = "jobs: {a: {command: [train, '{lr}'], each: p.jsonl}}";
    std::fs::write(home.path().join("graph.yaml"), graph).unwrap();
    let (code, said) = submit(&["graph.yaml"]);
    let expect = "a in the graph: p.jsonl cannot be used for the tasks\n  why: line 2 is not JSON";
    assert!(code == Some(2) && said.contains(expect), "{said}");
    let (code, said) = submit(&["--each", "none.jsonl", "--", "x"]);
    let expect = "none.jsonl cannot be used for the tasks\n  why: it cannot be read: No such file";
    assert!(code == Some(2) && said.contains(expect), "{said}");
    write("{\"seed\": 1}\n");
    let (code, said) = submit(&["--each", "p.jsonl", "--array", "0-1", "--", "x"]);
    let expect = "why: it has 1 line, and task 1 would be line 2\n help: Leave --array out";
    assert!(code == Some(2) && said.contains(expect), "{said}");
    // A slip is said, and does no harm.
    let (code, said) = submit(&["--each", "p.jsonl", "--", "x", "{sede}"]);
    assert!(
        said.starts_with("No line has \"sede\", so {sede} stays as it is"),
        "{said}"
    );
    assert!(
        code == Some(3) && said.contains("error[not_signed_in]"),
        "{said}"
    );
}

#[test]
fn destruction_needs_a_yes_where_nobody_can_be_asked() {
    let home = home();
    let ended = run(home.path(), &["machine", "remove", "box"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with("error[confirmation_needed]"),
        "{}",
        ended.stderr
    );
    sign_in(home.path()).unwrap();
    assert_eq!(run(home.path(), &["logout"]).code, Some(2));
    assert_eq!(run(home.path(), &["logout", "--yes"]).code, Some(0));
    assert_eq!(run(home.path(), &["ps"]).code, Some(3));
}

#[test]
fn the_owners_commands_say_that_no_agent_runs() {
    let home = home();
    for command in ["status", "pause", "resume", "stop"] {
        let ended = run(home.path(), &[command]);
        assert_eq!(ended.code, Some(3), "{command}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error[agent_not_running]"),
            "{}",
            ended.stderr
        );
    }
    for command in ["start", "agent"] {
        let ended = run(home.path(), &[command]);
        assert_eq!(ended.code, Some(3), "{command}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("error[not_registered]"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn shells_and_packages_get_what_they_need() {
    let home = home();
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(home.path(), &["completions", shell]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains("compute-share"), "{shell}");
    }
    let pages = home.path().join("man");
    let ended = run(home.path(), &["man", "--to", pages.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for page in [
        "compute-share.1",
        "compute-share-run.1",
        "compute-share-dataset-upload.1",
    ] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains("Example"), "{page}");
    }
    let version = run(home.path(), &["--version"]);
    assert_eq!(
        version.stdout,
        concat!("compute-share ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
