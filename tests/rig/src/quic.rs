//! The floor: bytes over QUIC with quinn's own settings, which nobody reads from or writes to a disk.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, congestion::BbrConfig,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::task::JoinSet;

const NAME: &str = "localhost";
/// What is written, and read, at once.
const PIECE_BYTES: usize = 1 << 20;

/// Takes what comes until the process is ended.
pub(crate) fn listen(address: SocketAddr, certificate: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let own = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![own.clone()], key.into())?;
    fs::write(certificate, &own).context("cannot write the certificate")?;
    runtime()?.block_on(async {
        let endpoint = Endpoint::server(config, address)?;
        println!("ready");
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    swallow(connection).await;
                }
            });
        }
        Ok(())
    })
}

async fn swallow(connection: Connection) {
    while let Ok(mut stream) = connection.accept_uni().await {
        tokio::spawn(async move {
            while let Ok(Some(_)) = stream.read_chunk(PIECE_BYTES, false).await {}
        });
    }
}

/// Sends so much and prints the seconds from the first byte until all have arrived.
pub(crate) fn put(
    address: SocketAddr,
    certificate: &Path,
    streams: u32,
    mib: u32,
    bbr: bool,
) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(fs::read(certificate)?))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    if bbr {
        let mut transport = TransportConfig::default();
        transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
        config.transport_config(Arc::new(transport));
    }
    runtime()?.block_on(async {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let mut endpoint = Endpoint::client(any.parse()?)?;
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect(address, NAME)?.await?;
        let piece = Bytes::from(vec![3; PIECE_BYTES]);
        let begin = Instant::now();
        let mut sending = JoinSet::new();
        for stream in 0..streams {
            let (connection, piece) = (connection.clone(), piece.clone());
            let pieces = mib / streams + u32::from(stream < mib % streams);
            sending.spawn(async move {
                let mut stream = connection.open_uni().await?;
                for _ in 0..pieces {
                    stream.write_chunk(piece.clone()).await?;
                }
                stream.finish()?;
                stream.stopped().await?;
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

fn runtime() -> Result<tokio::runtime::Runtime> {
    // The only error is that somebody set one before, with which one can do as well.
    let _set = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(tokio::runtime::Runtime::new()?)
}
