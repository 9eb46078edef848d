//! A registry of images: Debian's `docker-registry`, started as a process of its own, and filled over HTTP.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use crate::{
    oci::{Blob, Image},
    process::{Daemon, until},
};

/// The only user of a registry that wants to know who asks, and what the password is.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "open sesame";
/// The two as the server wants them (bcrypt).
const HTPASSWD: &str = "alice:$2b$04$2CnpMZTYcOKo5A.ymVs0wuWybfLp52iggANtttPdMUnLKsXbslpki\n";
/// The two as a client shows them.
const BASIC: &str = "Basic YWxpY2U6b3BlbiBzZXNhbWU=";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    _daemon: Daemon,
    address: String,
}

impl Registry {
    /// Starts a registry that serves everybody. Everything of it is in `folder`.
    ///
    /// # Panics
    /// The Debian package docker-registry is not installed.
    pub fn open(folder: &Path) -> Self {
        Self::start(folder, "")
    }

    /// Starts one that serves [`USER`] alone.
    ///
    /// # Panics
    /// As for [`Self::open`].
    pub fn private(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a temporary folder can be written");
        let users = folder.join("htpasswd");
        fs::write(&users, HTPASSWD).expect("a temporary folder can be written");
        let auth = format!(
            "auth: {{htpasswd: {{realm: tests, path: {}}}}}\n",
            users.display()
        );
        Self::start(folder, &auth)
    }

    fn start(folder: &Path, auth: &str) -> Self {
        fs::create_dir_all(folder).expect("a temporary folder can be written");
        let data = folder.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\", secret: tests}}\n{auth}",
            data.display()
        );
        let config = folder.join("config.yml");
        fs::write(&config, text).expect("a temporary folder can be written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        let daemon = Daemon::spawn(command, &folder.join("registry.log"));
        let address = until("the registry", || {
            let printed = daemon.printed();
            let (_, rest) = printed.split_once("listening on ")?;
            let end = rest.find(['"', ' '])?;
            Some(rest[..end].to_owned())
        });
        Self {
            _daemon: daemon,
            address,
        }
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts an image in, under a name and a tag.
    ///
    /// # Panics
    /// The registry refuses it.
    pub fn push(&self, name: &str, tag: &str, image: &Image) {
        for member in &image.members {
            self.push(name, &member.manifest.digest, member);
        }
        for blob in &image.blobs {
            self.push_blob(name, blob);
        }
        let path = format!("/v2/{name}/manifests/{tag}");
        let kind = format!("Content-Type: {}\r\n", image.manifest.media_type);
        let answer = self.ask("PUT", &path, &kind, &image.manifest.bytes);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn push_blob(&self, name: &str, blob: &Blob) {
        let begun = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), "", b"");
        let lines = begun.lines();
        let location =
            lines
                .filter_map(|line| line.split_once(": "))
                .find_map(|(header, value)| {
                    header
                        .eq_ignore_ascii_case("location")
                        .then(|| value.trim().to_owned())
                });
        let location = location.unwrap_or_else(|| panic!("{begun}"));
        let path = &location[location
            .find("/v2/")
            .unwrap_or_else(|| panic!("{location}"))..];
        let path = format!("{path}&digest={}", blob.digest);
        let kind = "Content-Type: application/octet-stream\r\n";
        let answer = self.ask("PUT", &path, kind, &blob.bytes);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let talk = || {
            let mut stream = TcpStream::connect(&self.address)?;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {BASIC}\r\nConnection: close\r\n\
                 Content-Length: {}\r\n{headers}\r\n",
                self.address,
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<String, std::io::Error>(answer)
        };
        talk().unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}
