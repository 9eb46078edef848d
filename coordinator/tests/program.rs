//! The program itself: what it prints, its exit codes, and that it stops when told to.

#![allow(
    clippy::unwrap_used,
    reason = "everything here is a test, its helpers too"
)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use common::{
    join_link::{JoinLink, LinkPurpose},
    wire::ALPN_JOIN,
};
use link::endpoint::Dialer;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_compute-share-coordinator"))
}

fn init(data: &Path, more: &[&str]) -> Output {
    let mut command = program();
    command
        .args(["init", "--org", "lab", "--owner", "alice"])
        .args(["--listen", "127.0.0.1:0", "--address", "localhost:7443"])
        .args(more)
        .arg("--data")
        .arg(data);
    command.output().unwrap()
}

fn with_data(arguments: &[&str], data: &Path) -> Output {
    let mut command = program();
    command.args(arguments).arg("--data").arg(data);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Starts the coordinator and waits until it says where it listens.
fn run(data: &Path, more: &[&str]) -> (Child, SocketAddr) {
    let mut child = program()
        .args(["run", "--data"])
        .arg(data)
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("listens on ")?;
        rest.split(' ').next()?.parse().ok()
    });
    // Whatever it says later must find a reader.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.unwrap())
}

#[test]
fn init_prints_the_link_alone_and_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let made = init(&data, &[]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let link: JoinLink = text(&made.stdout).trim_end().parse().unwrap();
    assert_eq!(text(&made.stdout), format!("{link}\n"));
    assert_eq!(link.purpose, LinkPurpose::Login);
    assert_eq!(link.address, "localhost:7443");

    let again = init(&data, &["-o", "json"]);
    assert_eq!(again.status.code(), Some(3));
    let error: serde_json::Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!(error["error"]["code"], "already_initialised");
    assert!(error["error"]["help"].as_str().unwrap().contains("--data"));

    let other = init(&folder.path().join("other"), &["-o", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    let other: JoinLink = answer["link"].as_str().unwrap().parse().unwrap();
    assert_ne!(other.fingerprint, link.fingerprint);
}

#[test]
fn a_name_that_is_none_has_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let made = with_data(
        &["init", "--org", "l\u{430}b", "--owner", "alice"],
        folder.path(),
    );
    assert_eq!(made.status.code(), Some(2));
    assert_eq!(
        text(&made.stderr).lines().next(),
        Some("error[bad_name]: \"l<U+0430>b\" cannot be --org <NAME>")
    );
    let made = with_data(
        &[
            "add-org", "--org", "lab", "--owner", "Bob", "--output", "json",
        ],
        folder.path(),
    );
    let error: serde_json::Value = serde_json::from_slice(&made.stderr).unwrap();
    assert_eq!(error["error"]["code"], "bad_name");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn it_runs_alone_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    assert!(init(data, &[]).status.success());
    let (mut running, _) = run(data, &[]);
    let second = with_data(&["run"], data);
    assert_eq!(second.status.code(), Some(3), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("store_locked"));
    let checked = with_data(&["check"], data);
    assert_eq!(checked.status.code(), Some(3));

    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(running.wait().unwrap().success());

    let checked = with_data(&["check", "-o", "json"], data);
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["version"], 4);
    assert_eq!(report["seal"].as_str().map(str::len), Some(64));
    assert_eq!(report["damaged_trees"], serde_json::json!([]));
    assert_eq!(report["damaged_pieces"], serde_json::json!([]));
    // As a store leaves a description that says nothing any more.
    let name = "ab".repeat(32);
    let org = common::id::OrgId::from_bytes([7; 16]).to_string();
    let damaged = data.join("blobs").join(org).join("damaged");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join(&name), b"nonsense").unwrap();
    let checked = with_data(&["check"], data);
    let said = text(&checked.stdout);
    assert!(said.contains(&format!("tree {name} is damaged")), "{said}");
    let link = with_data(&["login-link"], data);
    assert!(text(&link.stdout).trim_end().parse::<JoinLink>().is_ok());
}

#[test]
fn one_more_org_has_a_new_owner_or_a_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let add = |org, owner, more: &[&str]| {
        let arguments = [&["add-org", "--org", org, "--owner", owner], more].concat();
        with_data(&arguments, data)
    };
    assert_eq!(add("lab2", "bob", &[]).status.code(), Some(3));
    let first: JoinLink = text(&init(data, &[]).stdout).trim_end().parse().unwrap();

    let new = add("lab2", "bob", &[]);
    let link: JoinLink = text(&new.stdout).trim_end().parse().unwrap();
    assert_eq!(text(&new.stdout), format!("{link}\n"));
    assert_eq!(link.fingerprint, first.fingerprint);
    assert_eq!(link.address, first.address);
    assert_ne!(link.secret, first.secret);

    let known = add("lab3", "alice", &[]);
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert!(text(&known.stdout).starts_with("alice is known here"));
    let known = add("lab4", "alice", &["-o", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&known.stdout).unwrap();
    assert_eq!(answer["new_user"], false);
    assert_eq!(answer["link"], serde_json::Value::Null);

    let taken = add("lab2", "carol", &["-o", "json"]);
    let error: serde_json::Value = serde_json::from_slice(&taken.stderr).unwrap();
    assert_eq!(error["error"]["code"], "name_taken");
    assert_eq!(
        with_data(&["login-link", "--org", "lab4"], data)
            .status
            .code(),
        Some(0)
    );

    let (mut running, _) = run(data, &[]);
    let locked = add("lab5", "dora", &[]);
    assert_eq!(locked.status.code(), Some(3));
    assert!(text(&locked.stderr).contains("store_locked"));
    running.kill().unwrap();
    running.wait().unwrap();
}

#[tokio::test]
async fn a_killed_coordinator_comes_back_and_old_connections_learn_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let link: JoinLink = text(&init(data, &[]).stdout).trim_end().parse().unwrap();
    let (mut running, address) = run(data, &[]);
    let tls = certs::client_config(link.fingerprint, None, ALPN_JOIN).unwrap();
    let dialer = Dialer::new().unwrap();
    let connection = dialer.dial(&address.to_string(), tls).await.unwrap();
    running.kill().unwrap();
    running.wait().unwrap();

    let (mut again, _) = run(data, &["--listen", &address.to_string()]);
    let (mut tx, _rx) = connection.open_bi().await.unwrap();
    tx.write_all(b"anything").await.unwrap();
    let ended = connection.closed().await;
    assert!(matches!(ended, quinn::ConnectionError::Reset), "{ended}");
    again.kill().unwrap();
    again.wait().unwrap();
    assert!(with_data(&["check"], data).status.success());
}

#[test]
fn mistakes_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = with_data(&["run"], folder.path());
    assert_eq!(nothing.status.code(), Some(3));
    let said = text(&nothing.stderr);
    assert!(said.contains("not_initialised"), "{said}");
    assert!(said.contains("compute-share-coordinator init"), "{said}");

    assert!(init(folder.path(), &[]).status.success());
    let config = folder.path().join("coordinator.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("leese = \"1m\"\n{written}")).unwrap();
    let wrong = with_data(&["run"], folder.path());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("`lease`"),
        "{}",
        text(&wrong.stderr)
    );

    let usage = program().arg("fly").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let completions = program().args(["completions", "bash"]).output().unwrap();
    assert!(text(&completions.stdout).contains("login-link"));
}
