//! A server that sends more than it was asked for, or takes its time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{
    depot::{Depot, StoreId, Trust},
    *,
};

/// What a test's requests may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers every request with what `answer` writes, which is told its first line.
fn server(answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone()?).lines();
                while let Some(first) = lines.next().transpose()? {
                    while lines
                        .next()
                        .transpose()?
                        .is_some_and(|line| !line.is_empty())
                    {}
                    answer(&first, &mut stream)?;
                }
                Ok::<_, io::Error>(())
            });
        }
    });
    port
}

fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// A page of a list; `next` is the name of the one behind it.
fn page(names: impl Iterator<Item = String>, next: Option<usize>) -> String {
    let names = names.map(|name| {
        format!(
            "<Contents><Key>{ORG}/packs/{name}</Key><Size>7</Size><ETag>&quot;e&quot;</ETag>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )
    });
    let more = next.map_or(String::new(), |next| {
        format!("<NextContinuationToken>{next}</NextContinuationToken>")
    });
    format!(
        "<ListBucketResult><IsTruncated>{}</IsTruncated>{}{more}</ListBucketResult>",
        next.is_some(),
        names.collect::<String>()
    )
}

/// Returns a place there whose mark is the store's.
fn depot_at(port: u16, listed: usize) -> Depot {
    let place = format!("s3://data?endpoint=http://127.0.0.1:{port}&insecure=yes");
    let place: StoragePlace = place.parse().unwrap();
    let homes: Arc<dyn Homes> = Fixed::at(place.clone());
    let StoragePlace::S3(place) = place else {
        unreachable!("it is a bucket");
    };
    let store: StoreId = serde_json::from_str("\"mine\"").unwrap();
    Depot::new(ORG, &place, &homes, store).trusting(Trust {
        patience: PATIENCE,
        listed,
    })
}

/// Answers what is asked of the mark.
fn answers_mark(request: &str, stream: &mut TcpStream) -> io::Result<bool> {
    if !request.contains("store.json") {
        return Ok(false);
    }
    let mark = serde_json::json!({ "org": ORG, "store": "mine" }).to_string();
    answer_object(request, stream, mark.as_bytes())?;
    Ok(true)
}

fn answer_object(request: &str, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = bytes.len();
    let modified = "last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"e\"\r\n";
    if request.starts_with("HEAD") {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{modified}\r\n");
        return stream.write_all(head.as_bytes());
    }
    let range = format!(
        "content-range: bytes 0-{}/{length}\r\n{modified}",
        length - 1
    );
    write(stream, "206 Partial Content", &range, bytes)
}

fn problem(error: io::Error) -> Problem {
    BlobError::from(error).problem("not read")
}

/// Returns the number of the page that a request asks for.
fn page_asked(request: &str) -> usize {
    let token = request.split_once("continuation-token=");
    let token = token.map_or("0", |(_, rest)| rest);
    let token: String = token.chars().take_while(char::is_ascii_digit).collect();
    token.parse().unwrap()
}

#[test]
fn a_list_may_take_long_as_long_as_its_pages_come() {
    // One that nobody ever sends anything to.
    let (_open, never) = std::sync::mpsc::channel::<()>();
    let never: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(never));
    let port = server(move |request, stream| {
        if answers_mark(request, stream)? {
            return Ok(());
        }
        let asked = page_asked(request);
        let slow = never.lock().unwrap().recv_timeout(PATIENCE / 4);
        assert_eq!(slow, Err(RecvTimeoutError::Timeout));
        let names = (0..3).map(|at| format!("{:08}", asked * 3 + at));
        let next = (asked < 9).then_some(asked + 1);
        write(stream, "200 OK", "", page(names, next).as_bytes())
    });
    let listed = depot_at(port, 100).list("packs").unwrap();
    assert_eq!(listed.len(), 30);
    // More than may be listed is no end of the list.
    let refused = problem(depot_at(port, 10).list("packs").unwrap_err());
    assert_eq!(refused.code, Code::StorageUnreachable);
    assert!(refused.why.contains("more than it was asked"), "{refused}");
}

#[test]
fn a_page_that_does_not_come_is_no_end_of_a_list() {
    let port = server(|request, stream| {
        if answers_mark(request, stream)? {
            return Ok(());
        }
        match page_asked(request) {
            0 => write(
                stream,
                "200 OK",
                "",
                page(["00000001".to_owned()].into_iter(), Some(1)).as_bytes(),
            ),
            // It keeps the line open.
            _ => {
                thread::park();
                Ok(())
            }
        }
    });
    let refused = problem(depot_at(port, 100).list("packs").unwrap_err());
    assert_eq!(refused.code, Code::StorageUnreachable);
    assert!(
        refused.why.contains("has not answered within 2 s"),
        "{refused}"
    );
}

#[test]
fn what_a_server_sends_besides_is_an_error_and_not_in_memory() {
    let endless = |request: &str, stream: &mut TcpStream| {
        if answers_mark(request, stream)? {
            return Ok(());
        }
        let head = match request.contains("list-type") {
            true => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            false if request.contains("/long") => {
                return answer_object(request, stream, &[7; 200]);
            }
            // It says that it sends what was asked for.
            false => {
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-99/1000\r\n\
                 last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"e\"\r\n\
                 transfer-encoding: chunked\r\n\r\n"
            }
        };
        stream.write_all(head.as_bytes())?;
        let more = vec![b' '; 1 << 20];
        // Until it is hung up on.
        loop {
            stream.write_all(format!("{:x}\r\n", more.len()).as_bytes())?;
            stream.write_all(&more)?;
            stream.write_all(b"\r\n")?;
        }
    };
    let depot = depot_at(server(endless), 100);
    for refused in [
        depot.read("packs/1", 0..100).unwrap_err(),
        depot.read("packs/long", 0..100).unwrap_err(),
        depot.get("trees/long", 199).unwrap_err(),
        depot.list("packs").unwrap_err(),
    ] {
        let refused = problem(refused);
        assert!(refused.why.contains("more than it was asked"), "{refused}");
    }
}

#[test]
fn names_that_are_nobodys_are_not_kept() {
    let port = server(|request, stream| {
        if answers_mark(request, stream)? {
            return Ok(());
        }
        let names = ["x".repeat(900), "00000001".to_owned()];
        write(
            stream,
            "200 OK",
            "",
            page(names.into_iter(), None).as_bytes(),
        )
    });
    let listed = depot_at(port, 100).list("packs").unwrap();
    assert_eq!(listed, [("00000001".to_owned(), 7)]);
}
