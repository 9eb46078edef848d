use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use harness::oci::{Blob, Image, Layer, digest};
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn open(bytes: &[u8]) -> (TempDir, Result<ArchiveSummary, Problem>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.tar");
    fs::write(&file, bytes).unwrap();
    let summary = open_archive(&file, &folder.path().join("layout"));
    (folder, summary)
}

fn layer(text: &str) -> Layer {
    Layer::default().file("file", 0o644, text.as_bytes())
}

fn image(text: &str) -> Image {
    Image::of(&[layer(text)], &["A=b"])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What the layout has, by name.
fn files(folder: &TempDir) -> Vec<String> {
    let root = folder.path().join("layout");
    let mut names: Vec<String> = ["", "blobs", "blobs/sha256"]
        .iter()
        .flat_map(|part| fs::read_dir(root.join(part)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_layout_comes_out_as_it_is_packed_or_not() {
    let image = image("hello");
    for bytes in [image.archive(), gzip(&image.archive())] {
        let (folder, summary) = open(&bytes);
        let summary = summary.unwrap();
        assert_eq!(
            summary.platforms,
            [format!("linux/{}", harness::oci::architecture())]
        );
        let mut expect: Vec<String> = image
            .everything()
            .iter()
            .map(|blob| blob.digest.trim_start_matches("sha256:").to_owned())
            .chain(["blobs", "index.json", "oci-layout", "sha256"].map(str::to_owned))
            .collect();
        expect.sort();
        assert_eq!(files(&folder), expect);
        let index = fs::read(folder.path().join("layout/index.json")).unwrap();
        let Document::Index(index) = Document::read(&index).unwrap() else {
            panic!()
        };
        let entry = index.image_for(std::env::consts::ARCH).unwrap();
        assert_eq!(entry.digest.to_string(), image.manifest.digest);
        let total = |path: &str| {
            fs::metadata(folder.path().join("layout").join(path))
                .unwrap()
                .len()
        };
        let blobs: u64 = image
            .everything()
            .iter()
            .map(|blob| blob.bytes.len() as u64)
            .sum();
        assert_eq!(
            summary.bytes,
            Bytes(blobs + total("index.json") + total("oci-layout"))
        );
    }
}

/// As Docker wrote it before version 25: layers in folders, one of them a link to another.
fn docker_save(break_it: impl Fn(&mut serde_json::Value, &mut Vec<u8>)) -> Vec<u8> {
    let (one, two) = (layer("one").bytes(), layer("two").bytes());
    let config = json!({
        "architecture": "arm64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(&one), digest(&two), digest(&one)]},
    });
    let config = config.to_string();
    let name = format!(
        "{}.json",
        digest(config.as_bytes()).trim_start_matches("sha256:")
    );
    let mut saved = json!([{
        "Config": name, "RepoTags": ["lab/train:v1"],
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"],
    }]);
    let mut two = two;
    break_it(&mut saved, &mut two);
    Layer::default()
        .folder("a/", 0o755)
        .file("a/layer.tar", 0o644, &one)
        .file("a/VERSION", 0o644, b"1.0")
        .file("b/layer.tar", 0o644, &two)
        .symlink("c/layer.tar", "../a/layer.tar")
        .file(&name, 0o644, config.as_bytes())
        .file("manifest.json", 0o644, saved.to_string().as_bytes())
        .bytes()
}

#[test]
fn what_docker_saved_becomes_a_layout() {
    let (folder, summary) = open(&docker_save(|_, _| {}));
    let summary = summary.unwrap();
    assert_eq!(summary.name.as_deref(), Some("lab/train:v1"));
    assert_eq!(summary.platforms, ["linux/arm64"]);
    // Two layers, as the third is one of them; configuration and manifest.
    assert_eq!(
        fs::read_dir(folder.path().join("layout/blobs/sha256"))
            .unwrap()
            .count(),
        4
    );
    assert!(!folder.path().join("layout/parts").exists());

    let (_, altered) = open(&docker_save(|_, two| two.extend([0; 512])));
    assert_eq!(altered.unwrap_err().code, Code::Checksum);
    let (_, missing) = open(&docker_save(|saved, _| {
        saved[0]["Layers"][1] = json!("d/layer.tar")
    }));
    assert!(missing.unwrap_err().why.contains("d/layer.tar is missing"));
    let (_, fewer) = open(&docker_save(|saved, _| {
        saved[0]["Layers"] = json!(["a/layer.tar"])
    }));
    assert!(fewer.unwrap_err().why.contains("3 layers but has 1"));
    let (_, out) = open(&docker_save(|saved, _| {
        saved[0]["Config"] = json!("../../etc/passwd")
    }));
    assert!(out.unwrap_err().why.contains("is missing"));
}

#[test]
fn archives_that_hold_no_single_whole_image_are_refused() {
    let whole = image("x");
    let other = image("y");
    let mut lacking = whole.clone();
    lacking.blobs.pop();
    let mut lying = whole.clone();
    lying.blobs[1].bytes[0] ^= 1;
    let both = json!({"schemaVersion": 2, "manifests": [
        whole.manifest.descriptor(), other.manifest.descriptor()]});
    let add = |layer: Layer, blob: &&Blob| {
        layer.file(
            &format!("blobs/{}", blob.digest.replace(':', "/")),
            0o644,
            &blob.bytes,
        )
    };
    let blobs: Vec<&Blob> = whole
        .everything()
        .into_iter()
        .chain(other.everything())
        .collect();
    let two = blobs.iter().fold(
        Layer::default().file("index.json", 0o644, both.to_string().as_bytes()),
        add,
    );
    for (bytes, word) in [
        (Layer::default().bytes(), "neither"),
        (
            Layer::default().file("readme", 0o644, b"hi").bytes(),
            "neither",
        ),
        (
            b"no archive at all, but long enough".repeat(40),
            "cannot be read",
        ),
        (lacking.archive(), "complete"),
        (lying.archive(), "is called"),
        (two.bytes(), "2 images"),
        (
            Layer::default().file("../index.json", 0o644, b"{}").bytes(),
            "leads out",
        ),
        (
            Layer::default()
                .file("blobs/sha256/../../x", 0o644, b"{}")
                .bytes(),
            "leads out",
        ),
        (
            Layer::default()
                .file("blobs/sha256/xyz", 0o644, b"{}")
                .bytes(),
            "is called",
        ),
        (
            Layer::default().file("index.json", 0o644, b"[]").bytes(),
            "cannot be read",
        ),
        (gzip(&whole.archive())[..600].to_vec(), "cannot be read"),
    ] {
        let (_, opened) = open(&bytes);
        let problem = opened.unwrap_err();
        assert!(problem.why.contains(word), "{word}: {problem}");
        assert!(problem.what.contains("image.tar"), "{problem}");
    }
}

#[test]
fn images_of_several_platforms_stay_together() {
    let for_arch = |architecture: &str| {
        let layer = Blob::new(
            "application/vnd.oci.image.layer.v1.tar",
            layer(architecture).bytes(),
        );
        Image::packed(vec![layer], &[], architecture)
    };
    let index = Image::index(&[("arm64", for_arch("arm64")), ("amd64", for_arch("amd64"))]);
    let (_folder, summary) = open(&index.archive());
    assert_eq!(summary.unwrap().platforms, ["linux/amd64", "linux/arm64"]);
    // Only one of them was saved, as some programs do.
    let mut part = index;
    part.members.pop();
    let (_folder, summary) = open(&part.archive());
    assert_eq!(summary.unwrap().platforms, ["linux/arm64"]);
}
