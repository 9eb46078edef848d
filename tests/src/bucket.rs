//! An S3 server on loopback, whose objects are files of a folder, and a line to it that can be cut.
//!
//! The tests of the coordinator's store have it as a module of their own: it knows nothing of ours.

#![allow(
    clippy::unwrap_used,
    reason = "a test whose own server does not work fails"
)]

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

/// What opens it.
pub const ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMIK7MDENG";

/// What of a line stands for one on which nothing comes any more, nor anything goes.
const SILENT: i64 = i64::MIN;

/// The server; it ends with this.
#[derive(Debug)]
pub struct Bucket {
    folder: TempDir,
    address: SocketAddr,
    line: Arc<AtomicI64>,
    _runtime: Runtime,
}

impl Bucket {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ID, SECRET));
        let service = service.build();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(AtomicI64::new(i64::MAX));
        let left = Arc::clone(&line);
        runtime.spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let line = Line {
                    stream,
                    left: Arc::clone(&left),
                };
                let served = server.serve_connection(TokioIo::new(line), service.clone());
                let served = served.into_owned();
                tokio::spawn(async move { drop(served.await) });
            }
        });
        Self {
            folder,
            address,
            line,
            _runtime: runtime,
        }
    }

    /// Returns the place in it that has this prefix, as an org's setting says it.
    pub fn place(&self, prefix: &str) -> String {
        let address = self.address;
        format!("s3://data/{prefix}?endpoint=http://{address}&insecure=yes")
    }

    /// Has the line break once so many more bytes have come to the server, and stay broken.
    pub fn cut_after(&self, bytes: i64) {
        self.line.store(bytes, Ordering::SeqCst);
    }

    /// Has it take connections, those that are open included, and never answer.
    pub fn hang(&self) {
        self.line.store(SILENT, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.line.store(i64::MAX, Ordering::SeqCst);
    }

    /// Returns the folder that has the objects of a prefix.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.folder.path().join("data").join(prefix)
    }

    /// Returns the names of the objects under a prefix, behind it, in order.
    pub fn objects(&self, prefix: impl AsRef<Path>) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = self.folder.path().join("data").join(&prefix).join(&folder);
            for entry in fs::read_dir(path).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = format!("{folder}{}", entry.file_name().display());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(format!("{name}/"));
                } else {
                    names.push(name);
                }
            }
        }
        names.sort();
        names
    }
}

struct Line {
    stream: TcpStream,
    left: Arc<AtomicI64>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.load(Ordering::SeqCst) == SILENT {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = i64::try_from(buf.filled().len() - before).unwrap_or(i64::MAX);
        let left = self.left.load(Ordering::SeqCst);
        if left == SILENT {
            return Poll::Pending;
        }
        if left == i64::MAX {
            return polled;
        }
        if self.left.fetch_sub(read, Ordering::SeqCst) < read {
            self.left.store(0, Ordering::SeqCst);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
