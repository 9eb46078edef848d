//! Registries that send something else than they should.

use harness::oci::{Blob, Image, Layer, architecture, digest};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Serves fixed answers by the end of the path, whatever else is asked. Runs until the test ends.
async fn liar(answers: Vec<(String, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            let text = String::from_utf8_lossy(&request);
            let path = text.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(end, _)| path.ends_with(end.as_str()));
            let nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
            let answer = found.map_or(&nothing, |(_, answer)| answer);
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_lies_is_found_out() {
    let image = image("x");
    let [config, first, second] = image.blobs.as_slice() else {
        panic!()
    };
    let honest = || {
        let documents = image.everything().into_iter();
        documents
            .map(|blob| (blob.digest.clone(), ok(&blob.bytes)))
            .collect::<Vec<_>>()
    };
    let with = |digest: &str, answer: Vec<u8>| {
        let mut answers = honest();
        answers.insert(0, (digest.to_owned(), answer));
        answers
    };
    let mut altered = first.bytes.clone();
    altered[600] ^= 1;
    let endless =
        |bytes: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    let unbounded = |body: &[u8]| [&b"HTTP/1.1 200 OK\r\n\r\n"[..], body].concat();
    let longer = [first.bytes.as_slice(), &[0; 512]].concat();
    let manifest = image.manifest.digest.as_str();
    let away = "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/x\r\nContent-Length: 0\r\n\r\n";
    let realm = "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"http://10.0.0.1/token\"\r\n\
                 Content-Length: 0\r\n\r\n";
    for (answers, code, word) in [
        (with(manifest, ok(b"{}")), Code::Checksum, "something else"),
        (
            with(manifest, ok(&vec![b' '; 5 << 20])),
            Code::BadImage,
            "sends more",
        ),
        (with(&config.digest, ok(b"{}")), Code::Checksum, "were due"),
        (
            with(&first.digest, ok(&altered)),
            Code::Checksum,
            "something else",
        ),
        (with(&first.digest, ok(&longer)), Code::Checksum, "were due"),
        (
            with(
                &second.digest,
                unbounded(&[second.bytes.as_slice(), &[0; 9999]].concat()),
            ),
            Code::Checksum,
            "were due",
        ),
        (
            with(&first.digest, unbounded(&first.bytes[..700])),
            Code::Checksum,
            "were due",
        ),
        (
            with(&first.digest, endless(first.bytes.len() as u64)),
            Code::RegistryUnreachable,
            "reached",
        ),
        (
            with(&first.digest, away.as_bytes().to_vec()),
            Code::RegistryForbidden,
            "10.0.0.1, which is a private address",
        ),
        (
            with(manifest, realm.as_bytes().to_vec()),
            Code::RegistryUnreachable,
            "must not go",
        ),
        (
            with(
                manifest,
                b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            Code::RegistryUnreachable,
            "503",
        ),
        (
            with(
                manifest,
                b"HTTP/1.1 429 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            Code::RegistryUnreachable,
            "too often",
        ),
        (
            with(
                &second.digest,
                b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            Code::ImageNotFound,
            "does not have",
        ),
    ] {
        let address = liar(answers).await;
        let (folder, cache) = cache(PLENTY);
        let reference: ImageRef = format!("{address}/x@{manifest}").parse().unwrap();
        let problem = from_registry(&cache, &reference, None).await.unwrap_err();
        assert_eq!(problem.code, code, "{word}: {problem}");
        assert!(problem.why.contains(word), "{word}: {problem}");
        assert_eq!(left(&folder), [0, 0], "{word}");
        assert_eq!(cache.used(), Bytes::ZERO, "{word}");
    }
    let address = liar(honest()).await;
    let (_folder, cache) = cache(PLENTY);
    let reference: ImageRef = format!("{address}/x@{manifest}").parse().unwrap();
    from_registry(&cache, &reference, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_manifest_claims_is_bounded() {
    let layer = Blob::new(
        "application/vnd.oci.image.layer.v1.tar",
        Layer::default().bytes(),
    );
    let image = Image::packed(vec![layer], &[], architecture());
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let mut claims = |at: &str, size: u64| {
        *manifest.pointer_mut(at).unwrap() = json!(size);
        manifest.to_string().into_bytes()
    };
    for (document, code) in [
        (claims("/layers/0/size", u64::MAX), Code::DiskFull),
        (claims("/layers/0/size", 1 << 40), Code::DiskFull),
        (claims("/config/size", 1 << 30), Code::BadImage),
        (
            json!({"schemaVersion": 2, "manifests": [{"digest": digest(b"self"), "size": 1}]})
                .to_string()
                .into_bytes(),
            Code::ImageNotFound,
        ),
    ] {
        let name = digest(&document);
        let mut answers = vec![(name.clone(), ok(&document))];
        answers.extend(
            image
                .blobs
                .iter()
                .map(|blob| (blob.digest.clone(), ok(&blob.bytes))),
        );
        let address = liar(answers).await;
        let (_folder, cache) = cache(PLENTY);
        let reference: ImageRef = format!("{address}/x@{name}").parse().unwrap();
        let problem = from_registry(&cache, &reference, None).await.unwrap_err();
        assert_eq!(problem.code, code, "{problem}");
    }
}

/// A registry by its number or by a name, a place to which one that was named sends its readers, and a login service
/// that it names: whatever stands in the owner's network and was not named hears nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_in_the_owners_network_is_asked_who_was_not_named() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let digest = digest(b"x");
    let away = |address: &str| {
        let head = format!("HTTP/1.1 307 On\r\nLocation: http://{address}/v2/x/manifests/x\r\n");
        let answer = format!("{head}Content-Length: 0\r\n\r\n").into_bytes();
        vec![(digest.clone(), answer)]
    };
    let realm = format!(
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\"\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let sends = liar(away(&format!("127.0.0.1:{port}"))).await;
    let sends_by_name = liar(away(&format!("localhost:{port}"))).await;
    let asks = liar(vec![(digest.clone(), realm.into_bytes())]).await;
    let named = [&sends, &sends_by_name, &asks].map(|address| address.parse().unwrap());
    let reach = Reach::public_and(&named);
    for registry in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("10.0.0.1:{port}"),
        "169.254.169.254:80".to_owned(),
        sends,
        sends_by_name,
        asks,
    ] {
        let reference: ImageRef = format!("{registry}/x@{digest}").parse().unwrap();
        let (folder, cache) = cache(PLENTY);
        let fetched = super::super::from_registry(&cache, &reference, None, &reach).await;
        let problem = fetched.unwrap_err();
        assert_eq!(
            problem.code,
            Code::RegistryForbidden,
            "{registry}: {problem}"
        );
        assert!(problem.why.contains("has not named it"), "{problem}");
        assert_eq!(left(&folder), [0, 0], "{registry}");
    }
    let nobody = tokio::time::timeout(Duration::ZERO, silent.accept()).await;
    assert!(nobody.is_err(), "somebody came: {nobody:?}");
}
