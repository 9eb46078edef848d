//! The proxy spoken to over real connections, with names and servers that are made up.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener as Listener, TcpStream},
};

use common::units::Bytes;

use super::{dial::Outside, listen::MAX_CONNECTIONS, *};

/// Public, as far as anybody can tell.
const SERVER: &str = "93.184.215.14";

const TURNING: &str = "turning.example";

/// An outside in which every public address is one server, and nothing else answers.
struct Pretended {
    names: BTreeMap<&'static str, Vec<&'static str>>,
    /// What a name comes to that means something else each time.
    turning: RefCell<Vec<&'static str>>,
    server: SocketAddr,
    /// What was dialled, in order.
    dialled: Rc<RefCell<Vec<SocketAddr>>>,
}

impl Outside for Pretended {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == TURNING {
            let next = self.turning.borrow_mut().pop();
            return Ok(next.iter().map(|text| text.parse().unwrap()).collect());
        }
        let found = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(found.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.borrow_mut().push(address);
        if address.ip().to_string() == SERVER {
            TcpStream::connect(self.server).await
        } else {
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    fn own(&self) -> io::Result<Vec<IpAddr>> {
        Ok(vec!["198.0.0.7".parse().unwrap()])
    }
}

struct World {
    proxy: SocketAddr,
    count: Rc<Count>,
    dialled: Rc<RefCell<Vec<SocketAddr>>>,
}

impl World {
    /// Says something to the proxy, ends there, and returns all that comes back.
    async fn ask(&self, said: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.write_all(said.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// Runs a test against a proxy and a server that answers each connection with what it heard, in capitals.
fn with_proxy<F: Future<Output = ()>>(most: Option<Bytes>, test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let server = Listener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (count, dialled) = (Rc::new(Count::silent(most)), Rc::default());
        let outside = Pretended {
            names: BTreeMap::from([
                ("good.example", vec![SERVER]),
                ("rebound.example", vec!["10.0.0.5"]),
                (
                    "mixed.example",
                    vec!["127.0.0.1", "::ffff:192.168.1.1", SERVER],
                ),
                ("machine.example", vec!["198.0.0.7"]),
                ("coordinator.example", vec!["198.0.0.9"]),
                ("closed.example", vec!["93.184.215.15"]),
                // What the C library makes of numbers that are no addresses to anybody else.
                ("2130706433", vec!["127.0.0.1"]),
                ("0x7f.1", vec!["127.0.0.1"]),
                ("017700000001", vec!["127.0.0.1"]),
                ("localhost", vec!["127.0.0.1", "::1"]),
            ]),
            turning: RefCell::new(vec![SERVER, "10.0.0.5", SERVER]),
            server: server.local_addr().unwrap(),
            dialled: Rc::clone(&dialled),
        };
        let world = World {
            proxy: listener.local_addr().unwrap(),
            count: Rc::clone(&count),
            dialled,
        };
        let denied = vec!["198.0.0.9".parse().unwrap()];
        tokio::task::spawn_local(listen::accept(
            Rc::new(Proxy::new(outside, denied, count)),
            listener,
        ));
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::task::spawn_local(async move {
                    let mut piece = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut piece).await {
                        piece[..length].make_ascii_uppercase();
                        if stream.write_all(&piece[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let done = tokio::time::timeout(Duration::from_secs(60), test(world)).await;
        done.expect("the test should not hang");
    });
}

#[test]
fn a_public_server_is_reached_in_all_three_ways() {
    with_proxy(None, |world| async move {
        let connect = "CONNECT good.example:443 HTTP/1.1\r\n\r\nhello";
        let answer = world.ask(connect).await;
        assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\nHELLO");
        let plain = "POST http://good.example/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
        let answer = world.ask(plain).await;
        let expect = "POST /A HTTP/1.1\r\nHOST: GOOD.EXAMPLE\r\nCONTENT-LENGTH: 2\r\nCONNECTION: CLOSE\r\n\r\nHI";
        assert_eq!(answer, expect);
        let socks = [
            &[5, 1, 0, 5, 1, 0, 3, 12],
            b"good.example".as_slice(),
            &[0, 80],
            b"socks",
        ]
        .concat();
        let answer = world.ask(socks).await;
        assert_eq!(
            answer.as_bytes(),
            b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00SOCKS"
        );
        let ports: Vec<u16> = world
            .dialled
            .borrow()
            .iter()
            .map(SocketAddr::port)
            .collect();
        assert_eq!(ports, [443, 80, 80]);
        let sent = 5 + expect.len() as u64 + 5;
        assert_eq!(world.count.moved(), (sent, sent));
    });
}

/// N2 of the escape table: what a name comes to is judged, and nothing else is dialled.
#[test]
fn no_name_and_no_spelling_leads_to_a_forbidden_address() {
    with_proxy(None, |world| async move {
        let forbidden = [
            "rebound.example:80",
            "localhost:80",
            "2130706433:22",
            "0x7f.1:80",
            "017700000001:80",
            "127.0.0.1:80",
            "10.1.2.3:80",
            "169.254.169.254:80",
            "[::1]:80",
            "[::ffff:10.0.0.1]:80",
            "[64:ff9b::10.0.0.1]:80",
            "[2002:a00:1::]:80",
            "[fd00::1]:80",
            "0.0.0.0:80",
            "255.255.255.255:80",
            "machine.example:22",
            "coordinator.example:7443",
            "198.0.0.9:7443",
            "[::ffff:198.0.0.9]:7443",
        ];
        for target in forbidden {
            let answer = world
                .ask(format!("CONNECT {target} HTTP/1.1\r\n\r\n"))
                .await;
            assert!(
                answer.starts_with("HTTP/1.1 403 Forbidden\r\n"),
                "{target}: {answer}"
            );
            assert!(answer.contains("a job may not reach"), "{target}: {answer}");
            let answer = world
                .ask(format!("GET http://{target}/ HTTP/1.1\r\n\r\n"))
                .await;
            assert!(
                answer.starts_with("HTTP/1.1 403 Forbidden\r\n"),
                "{target}: {answer}"
            );
            world.count.tell();
        }
        let socks = [5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80];
        let answer = world.ask(socks).await;
        assert_eq!(answer.as_bytes()[2..4], [5, 2]);
        assert_eq!(*world.dialled.borrow(), []);
        assert_eq!(
            world.count.said(),
            ["a job may not reach 10.0.0.1:80: 10.0.0.1 is a private address"]
        );
        // Of several addresses only those that passed are dialled.
        let answer = world.ask("CONNECT mixed.example:1 HTTP/1.1\r\n\r\nx").await;
        assert!(answer.ends_with("\r\n\r\nX"), "{answer}");
        let dialled: Vec<String> = world
            .dialled
            .borrow()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(dialled, [format!("{SERVER}:1")]);
    });
}

/// N2 as well: what is dialled is what was judged, not what the name means by then.
#[test]
fn a_name_that_turns_private_is_not_followed() {
    with_proxy(None, |world| async move {
        for expect in ["200", "403", "200"] {
            let answer = world
                .ask(format!("CONNECT {TURNING}:443 HTTP/1.1\r\n\r\n"))
                .await;
            let begin = format!("HTTP/1.1 {expect} ");
            assert!(answer.starts_with(&begin), "{answer}");
        }
        let server = SocketAddr::new(SERVER.parse().unwrap(), 443);
        assert_eq!(*world.dialled.borrow(), [server, server]);
    });
}

#[test]
fn what_is_wrong_is_said_in_words() {
    with_proxy(None, |world| async move {
        for (said, expect) in [
            ("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n", "400"),
            ("nonsense\r\n\r\n", "400"),
            ("CONNECT nobody.example:80 HTTP/1.1\r\n\r\n", "502"),
            ("CONNECT closed.example:80 HTTP/1.1\r\n\r\n", "502"),
        ] {
            let answer = world.ask(said).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expect} ")),
                "{said}: {answer}"
            );
        }
        assert_eq!(world.ask("").await, "");
        assert_eq!(world.ask("CONNECT go").await, "");
        assert_eq!(world.count.said(), Vec::<String>::new());
    });
}

#[test]
fn a_job_moves_no_more_than_it_may() {
    with_proxy(Some(Bytes(100_000)), |world| async move {
        let connect = "CONNECT good.example:443 HTTP/1.1\r\n\r\n";
        let much = [connect.as_bytes(), &[b'x'; 400_000]].concat();
        let mut stream = TcpStream::connect(world.proxy).await.unwrap();
        // The rest of this is never taken.
        let _ = stream.write_all(&much).await;
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        let (sent, received) = world.count.moved();
        assert!(
            (100_000..200_000).contains(&(sent + received)),
            "{sent} {received}"
        );
        let answer = world.ask(connect).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("may move"),
            "{answer}"
        );
        assert_eq!(world.count.said().len(), 1, "{:?}", world.count.said());
    });
}

/// N6 of the escape table, as far as it is the proxy's own.
#[test]
fn connections_that_say_nothing_are_bounded_and_end() {
    with_proxy(None, |world| async move {
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(world.proxy).await.unwrap());
        }
        let mut late = TcpStream::connect(world.proxy).await.unwrap();
        late.write_all(b"CONNECT good.example:443 HTTP/1.1\r\n\r\nx")
            .await
            .unwrap();
        let mut byte = [0];
        let early = tokio::time::timeout(Duration::from_millis(300), late.read(&mut byte)).await;
        assert!(
            early.is_err(),
            "there was room for more than {MAX_CONNECTIONS}"
        );
        // One of them leaves, and the next is served.
        drop(silent.pop());
        assert_eq!(late.read(&mut byte).await.unwrap(), 1);
        let mut heard = String::new();
        silent[0].read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    });
}
