mod lying;

use std::time::Duration;

use harness::{
    oci::{Blob, Image, Layer, architecture, digest},
    registry::{PASSWORD, Registry as Server, USER},
};
use tempfile::TempDir;

use super::*;
use crate::images::resolve;

const PLENTY: Bytes = Bytes::gib(1);

fn image(text: &str) -> Image {
    let first = Layer::default()
        .folder("etc/", 0o755)
        .file("etc/name", 0o600, text.as_bytes());
    let second = Layer::default()
        .symlink("dev", "/host")
        .file("etc/two", 0o644, b"2");
    Image::of(&[first, second], &["COLOUR=blue", "LD_PRELOAD=/evil.so"])
}

fn cache(limit: Bytes) -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache"), limit).unwrap();
    (folder, cache)
}

fn login(address: &str, password: &str) -> RegistryLogin {
    RegistryLogin {
        registry: address.to_owned(),
        user: USER.to_owned(),
        password: password.to_owned(),
    }
}

/// Fetches for a machine whose owner has named the image's registry.
async fn from_registry(
    cache: &Cache,
    reference: &ImageRef,
    login: Option<&RegistryLogin>,
) -> Result<PinnedImage, Problem> {
    let reach = Reach::public_and(&[reference.registry.parse().unwrap()]);
    super::from_registry(cache, reference, login, &reach).await
}

async fn pinned_reference(name: &str) -> ImageRef {
    resolve(&name.parse().unwrap(), None).await.unwrap()
}

fn content(pinned: &PinnedImage, path: &str) -> String {
    fs::read_to_string(pinned.root().join(path)).unwrap()
}

/// What lies in the cache's folders of images and of what is on its way.
fn left(folder: &TempDir) -> [usize; 2] {
    ["images", "temps"].map(|part| {
        fs::read_dir(folder.path().join("cache").join(part))
            .unwrap()
            .count()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_fetched_once_and_stays_what_it_was_pinned_to() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::open(place.path());
    let name = format!("{}/lab/tool:v1", server.address());
    server.push("lab/tool", "v1", &image("first"));
    let reference = pinned_reference(&name).await;
    assert_eq!(reference.tag.as_deref(), Some("v1"));
    assert_eq!(
        reference.digest.unwrap().to_string(),
        image("first").manifest.digest
    );
    // The tag moves on; what was pinned does not.
    server.push("lab/tool", "v1", &image("second"));

    let (folder, cache) = cache(PLENTY);
    let (one, two) = tokio::join!(
        from_registry(&cache, &reference, None),
        from_registry(&cache, &reference, None)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.root(), two.root());
    assert_eq!(content(&one, "etc/name"), "first");
    assert_eq!(content(&one, "etc/two"), "2");
    assert_eq!(one.about().env["COLOUR"], "blue");
    assert_eq!(left(&folder), [1, 0]);
    assert!(cache.used() > Bytes::ZERO && cache.used() < Bytes::mib(1));
    assert!(cache.ids().is_empty(), "an image is no dataset");

    // Gone from the registry, it is there still; also after a restart.
    drop((one, two));
    drop(server);
    let cached = from_registry(&cache, &reference, None).await.unwrap();
    drop((cached, cache));
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    let cached = from_registry(&cache, &reference, None).await.unwrap();
    assert_eq!(content(&cached, "etc/name"), "first");
    let moved = format!("{name}@{}", digest(b"x")).parse().unwrap();
    let gone = from_registry(&cache, &moved, None).await.unwrap_err();
    assert_eq!(gone.code, Code::RegistryUnreachable, "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_registry_lets_in_whom_it_knows() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::private(place.path());
    server.push("tool", "v1", &image("secret"));
    let address = server.address();
    let reference: ImageRef = format!("{address}/tool:v1").parse().unwrap();
    let right = login(address, PASSWORD);
    let wrong = login(address, "guess");
    let elsewhere = login("127.0.0.1:1", PASSWORD);
    for refused in [None, Some(&wrong), Some(&elsewhere)] {
        let problem = resolve(&reference, refused).await.unwrap_err();
        assert_eq!(problem.code, Code::RegistryRefused, "{problem}");
        assert!(!problem.to_string().contains("guess"));
    }
    let reference = resolve(&reference, Some(&right)).await.unwrap();
    let (folder, cache) = cache(PLENTY);
    for refused in [None, Some(&wrong)] {
        let problem = from_registry(&cache, &reference, refused)
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::RegistryRefused, "{problem}");
    }
    assert_eq!(left(&folder), [0, 0]);
    let pinned = from_registry(&cache, &reference, Some(&right))
        .await
        .unwrap();
    assert_eq!(content(&pinned, "etc/name"), "secret");
    // That it lies here already is no way around the registry.
    for refused in [None, Some(&wrong)] {
        let problem = from_registry(&cache, &reference, refused)
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::RegistryRefused, "{problem}");
    }
    from_registry(&cache, &reference, Some(&right))
        .await
        .unwrap();
    let missing = format!("{address}/other:v1").parse().unwrap();
    let problem = resolve(&missing, Some(&right)).await.unwrap_err();
    assert_eq!(problem.code, Code::ImageNotFound, "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_leads_to_the_image_for_this_machine() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::open(place.path());
    let foreign = |text: &str| {
        let layer = Layer::default().file("name", 0o644, text.as_bytes());
        let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", layer.bytes());
        Image::packed(vec![layer], &[], "s390x")
    };
    let index = Image::index(&[("s390x", foreign("no")), (architecture(), image("yes"))]);
    server.push("both", "v1", &index);
    server.push("foreign", "v1", &Image::index(&[("s390x", foreign("a"))]));
    server.push("alone", "v1", &foreign("b"));
    let lying = Image::index(&[(architecture(), foreign("c"))]);
    server.push("lying", "v1", &lying);
    let (folder, cache) = cache(PLENTY);
    let address = server.address();
    let reference = pinned_reference(&format!("{address}/both:v1")).await;
    let pinned = from_registry(&cache, &reference, None).await.unwrap();
    assert_eq!(content(&pinned, "etc/name"), "yes");
    for name in ["foreign", "alone", "lying"] {
        let reference = pinned_reference(&format!("{address}/{name}:v1")).await;
        let problem = from_registry(&cache, &reference, None).await.unwrap_err();
        assert_eq!(problem.code, Code::BadImage, "{name}: {problem}");
        assert!(problem.why.contains("linux/s390x"), "{name}: {problem}");
    }
    assert_eq!(left(&folder), [1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_share_the_caches_room_and_what_is_used_stays() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::open(place.path());
    let sized = |seed: u8| {
        let content = vec![seed; 300_000];
        Image::of(&[Layer::default().file("data", 0o644, &content)], &[])
    };
    let mut references = Vec::new();
    for seed in 1..=3 {
        server.push("data", &format!("v{seed}"), &sized(seed));
        references.push(pinned_reference(&format!("{}/data:v{seed}", server.address())).await);
    }
    let fetch =
        async |cache: &Cache, number: usize| from_registry(cache, &references[number], None).await;
    // Room for two while one of them is on its way, packed and unpacked.
    let (folder, cache) = cache(Bytes(34 << 20));
    let first = fetch(&cache, 0).await.unwrap();
    drop(fetch(&cache, 1).await.unwrap());
    assert_eq!(left(&folder), [2, 0]);
    cache.set_limit(Bytes(650_000));
    assert_eq!(left(&folder), [2, 0]);
    cache.set_limit(Bytes(400_000));
    assert_eq!(left(&folder), [1, 0]);
    assert_eq!(content(&first, "data").len(), 300_000);
    let refused = fetch(&cache, 2).await.unwrap_err();
    assert_eq!(refused.code, Code::DiskFull, "{refused}");
    assert_eq!(left(&folder), [1, 0]);
    drop(first);
    cache.set_limit(Bytes::ZERO);
    assert_eq!((left(&folder), cache.used()), ([0, 0], Bytes::ZERO));
}

/// Whoever fetched it is gone in the middle; the next one gets it all the same, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_in_the_middle_is_begun_anew() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::open(place.path());
    let content: Vec<u8> = (0..8_000_000_u32)
        .map(|number| number.to_le_bytes()[1])
        .collect();
    let image = Image::of(&[Layer::default().file("data", 0o644, &content)], &[]);
    server.push("large", "v1", &image);
    let reference = pinned_reference(&format!("{}/large:v1", server.address())).await;
    let (folder, cache) = cache(PLENTY);
    for wait in [1, 5, 20, 40] {
        let fetching = from_registry(&cache, &reference, None);
        let _cut = tokio::time::timeout(Duration::from_millis(wait), fetching).await;
    }
    let pinned = from_registry(&cache, &reference, None).await.unwrap();
    assert_eq!(fs::read(pinned.root().join("data")).unwrap(), content);
    // The work that was given up removes its own folder a moment later.
    harness::until("the folders of cut fetches to go", || {
        (left(&folder)[1] == 0).then_some(())
    });
    assert_eq!(left(&folder), [1, 0]);
}

#[tokio::test]
async fn an_imported_image_is_checked_before_it_is_unpacked() {
    let image = image("imported");
    let spoil = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        image.write_layout(folder.path());
        change(folder.path());
        folder
    };
    let layer = image.blobs[1]
        .digest
        .trim_start_matches("sha256:")
        .to_owned();
    let read = |folder: &TempDir| {
        let plan = read_layout(folder.path())?;
        plan.manifest
            .layers
            .iter()
            .try_for_each(|layer| verify(folder.path(), layer))
    };
    read(&spoil(&|_| {})).unwrap();
    let blob = |folder: &Path| folder.join("blobs/sha256").join(&layer);
    for (folder, code) in [
        (
            spoil(&|folder| fs::remove_file(folder.join("index.json")).unwrap()),
            Code::BadImage,
        ),
        (
            spoil(&|folder| fs::write(folder.join("index.json"), "{}").unwrap()),
            Code::BadImage,
        ),
        (
            spoil(&|folder| fs::remove_file(blob(folder)).unwrap()),
            Code::BadImage,
        ),
        (
            spoil(&|folder| fs::write(blob(folder), "short").unwrap()),
            Code::Checksum,
        ),
        (
            spoil(&|folder| {
                let mut bytes = fs::read(blob(folder)).unwrap();
                bytes[700] ^= 1;
                fs::write(blob(folder), bytes).unwrap();
            }),
            Code::Checksum,
        ),
        (
            spoil(&|folder| {
                fs::remove_file(blob(folder)).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", blob(folder)).unwrap();
            }),
            Code::BadImage,
        ),
    ] {
        assert_eq!(read(&folder).unwrap_err().code, code);
    }
}
