//! The floors: bytes over QUIC with quinn's own settings, which nobody reads from a disk. They are dropped where they
//! arrive, or kept as whoever promises to have them must: written to files and synced before the answer.

use std::{
    fs::{self, File},
    io::{IoSlice, Write},
    mem,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, ServerConfig, TransportConfig,
    congestion::BbrConfig,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::task::JoinSet;

const NAME: &str = "localhost";
/// What is written, and read, at once.
const PIECE_BYTES: usize = 1 << 20;
/// Most parts of it that a file takes at once: IOV_MAX.
const MAX_PARTS: usize = 1024;
/// What is written before the disk is asked to take it, beside what comes next.
const SYNC_BYTES: usize = 64 << 20;

/// Takes what comes until the process is ended; where there is a folder, a file of it takes each stream.
pub(crate) fn listen(address: SocketAddr, certificate: &Path, keep: Option<PathBuf>) -> Result<()> {
    let keep: Option<Arc<Path>> = keep.map(Arc::from);
    runtime()?.block_on(async {
        let endpoint = server(address, certificate)?;
        println!("ready");
        while let Some(incoming) = endpoint.accept().await {
            let keep = keep.clone();
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    take(connection, keep).await;
                }
            });
        }
        Ok(())
    })
}

async fn take(connection: Connection, keep: Option<Arc<Path>>) {
    while let Ok((mut answer, stream)) = connection.accept_bi().await {
        let file = keep.as_deref().map(|keep| {
            let name = stream.id().index().to_string();
            keep.join(name)
        });
        tokio::spawn(async move {
            let done = match file {
                Some(file) => keep_all(stream, &file).await,
                None => drop_all(stream).await,
            };
            let answered = match done {
                Ok(()) => answer.finish(),
                Err(error) => {
                    eprintln!("a stream broke off: {error:#}");
                    answer.reset(1_u32.into())
                }
            };
            // Who does not wait for the answer any more does not lack it.
            drop(answered);
        });
    }
}

async fn drop_all(mut stream: RecvStream) -> Result<()> {
    while stream.read_chunk(PIECE_BYTES, false).await?.is_some() {}
    Ok(())
}

/// Writes all that comes, from where it arrived, and has the disk take it meanwhile.
async fn keep_all(mut stream: RecvStream, path: &Path) -> Result<()> {
    let file = Arc::new(File::create_new(path)?);
    let mut syncing = JoinSet::new();
    let (mut parts, mut waiting, mut unsynced) = (Vec::new(), 0, 0);
    while let Some(chunk) = stream.read_chunk(PIECE_BYTES, true).await? {
        waiting += chunk.bytes.len();
        parts.push(chunk.bytes);
        if waiting >= PIECE_BYTES || parts.len() == MAX_PARTS {
            tokio::task::block_in_place(|| write(&file, &parts))?;
            parts.clear();
            unsynced += mem::take(&mut waiting);
        }
        if unsynced >= SYNC_BYTES {
            let file = Arc::clone(&file);
            syncing.spawn_blocking(move || file.sync_data());
            unsynced = 0;
        }
    }
    tokio::task::block_in_place(|| {
        write(&file, &parts)?;
        file.sync_data()?;
        let folder = path.parent().context("a file is in a folder")?;
        File::open(folder)?.sync_all()?;
        anyhow::Ok(())
    })?;
    while let Some(synced) = syncing.join_next().await {
        synced??;
    }
    Ok(())
}

fn write(mut file: &File, parts: &[Bytes]) -> Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        let written = file.write_vectored(slices)?;
        ensure!(written > 0, "the disk takes nothing");
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}

/// Sends so much and prints the seconds from the first byte until the other end has done with all of it.
pub(crate) fn put(
    address: SocketAddr,
    certificate: &Path,
    streams: u32,
    mib: u32,
    bbr: bool,
) -> Result<()> {
    let mut transport = TransportConfig::default();
    if bbr {
        transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
    }
    runtime()?.block_on(async {
        let (endpoint, connection) = connect(address, certificate, transport).await?;
        let piece = Bytes::from(vec![3; PIECE_BYTES]);
        let begin = Instant::now();
        let mut sending = JoinSet::new();
        for stream in 0..streams {
            let (connection, piece) = (connection.clone(), piece.clone());
            let pieces = mib / streams + u32::from(stream < mib % streams);
            sending.spawn(async move {
                let (mut stream, mut answer) = connection.open_bi().await?;
                for _ in 0..pieces {
                    stream.write_chunk(piece.clone()).await?;
                }
                stream.finish()?;
                answer.read_to_end(0).await?;
                anyhow::Ok(())
            });
        }
        while let Some(done) = sending.join_next().await {
            done??;
        }
        println!("{:.4}", begin.elapsed().as_secs_f64());
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
        Ok(())
    })
}

/// Listens with a certificate that is made now and written to a file.
pub(crate) fn server(address: SocketAddr, certificate: &Path) -> Result<Endpoint> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let own = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![own.clone()], key.into())?;
    fs::write(certificate, &own).context("cannot write the certificate")?;
    Ok(Endpoint::server(config, address)?)
}

/// Connects to whoever has the key of that certificate. The endpoint owns the socket.
pub(crate) async fn connect(
    address: SocketAddr,
    certificate: &Path,
    transport: TransportConfig,
) -> Result<(Endpoint, Connection)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(fs::read(certificate)?))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(Arc::new(transport));
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let mut endpoint = Endpoint::client(any.parse()?)?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, NAME)?.await?;
    Ok((endpoint, connection))
}

/// Returns what runs this process's tasks, with its cryptography chosen.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    // The only error is that somebody set one before, with which one can do as well.
    let _set = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(tokio::runtime::Runtime::new()?)
}
