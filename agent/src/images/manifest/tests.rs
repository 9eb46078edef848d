use super::*;

fn entry(platform: Option<(&str, &str)>) -> Descriptor {
    let mut entry = Descriptor::of(MANIFEST, ImageDigest([1; 32]), 10);
    entry.platform = platform.map(|(os, architecture)| Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
    });
    entry
}

#[test]
fn an_index_gives_the_image_of_this_machine_or_says_what_there_is() {
    let both = Index::of(vec![
        entry(Some(("linux", "arm64"))),
        entry(Some(("linux", "amd64"))),
    ]);
    assert_eq!(both.image_for("x86_64").unwrap(), &both.manifests[1]);
    assert_eq!(both.image_for("aarch64").unwrap(), &both.manifests[0]);
    let foreign = Index::of(vec![
        entry(Some(("linux", "s390x"))),
        entry(Some(("windows", "amd64"))),
        entry(Some(("unknown", "unknown"))),
    ]);
    let refused = foreign.image_for("x86_64").unwrap_err();
    assert_eq!(refused.code, Code::BadImage);
    assert!(
        refused.why.contains("linux/s390x, windows/amd64;"),
        "{refused}"
    );
    assert!(Index::of(vec![entry(None)]).image_for("x86_64").is_ok());
    assert!(Index::of(Vec::new()).image_for("x86_64").is_err());
}

#[test]
fn documents_that_are_no_image_are_refused() {
    let many = "{},".repeat(MAX_LAYERS);
    for (text, word) in [
        ("", "cannot be read"),
        ("{}", "version"),
        (r#"{"schemaVersion":1}"#, "version"),
        (r#"{"schemaVersion":2}"#, "no image"),
        (
            r#"{"schemaVersion":2,"mediaType":"text/html","manifests":[]}"#,
            "no image",
        ),
        (
            r#"{"schemaVersion":2,"manifests":[{"digest":"md5:1","size":1}]}"#,
            "cannot be read",
        ),
        (
            r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:1","size":-1}]}"#,
            "cannot be read",
        ),
    ] {
        let refused = Document::read(text.as_bytes()).unwrap_err();
        assert!(refused.why.contains(word), "{text}: {refused}");
    }
    let digest = ImageDigest([7; 32]);
    let layers = many.replace("{}", &format!(r#"{{"digest":"{digest}","size":1}}"#));
    let one = format!(r#"{{"digest":"{digest}","size":1}}"#);
    let text = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{layers}{one}]}}"#);
    assert!(
        Document::read(text.as_bytes())
            .unwrap_err()
            .why
            .contains("257 layers")
    );
}

#[test]
fn layers_are_packed_as_their_kind_says() {
    for (kind, packing) in [
        ("application/vnd.oci.image.layer.v1.tar", Packing::Plain),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Packing::Gzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            Packing::Gzip,
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Packing::Gzip,
        ),
    ] {
        let layer = Descriptor::of(kind, ImageDigest([0; 32]), 1);
        assert_eq!(layer.packing().unwrap(), packing, "{kind}");
    }
    for kind in [
        "",
        "application/json",
        "application/vnd.oci.image.layer.v1.tar+xz",
    ] {
        Descriptor::of(kind, ImageDigest([0; 32]), 1)
            .packing()
            .unwrap_err();
    }
}

#[test]
fn the_environment_is_what_can_be_set() {
    let json = r#"{"architecture":"arm64","os":"linux",
        "config":{"Env":["PATH=/opt/bin:/bin","EMPTY=","=x","nothing","A=b=c","N=\u0000"]}}"#;
    let config = Config::read(json.as_bytes()).unwrap();
    let env: Vec<String> = config
        .env()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(env, ["A=b=c", "EMPTY=", "PATH=/opt/bin:/bin"]);
    config.must_run_on("aarch64").unwrap();
    assert!(
        config
            .must_run_on("x86_64")
            .unwrap_err()
            .why
            .contains("linux/arm64")
    );
    assert!(
        Config::read(br#"{"config":null}"#)
            .unwrap()
            .env()
            .unwrap()
            .is_empty()
    );
    let long = format!(
        r#"{{"config":{{"Env":["A={}"]}}}}"#,
        "x".repeat(MAX_ENV_BYTES)
    );
    Config::read(long.as_bytes()).unwrap().env().unwrap_err();
}
