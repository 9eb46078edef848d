use super::*;

#[test]
fn only_this_computer_is_spoken_to_without_tls() {
    for (host, plain) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("127.8.0.1", true),
        ("10.0.0.1:5000", false),
        ("localhost.example", false),
        ("127.0.0.1.example", false),
        ("ghcr.io", false),
    ] {
        assert_eq!(is_this_computer(host), plain, "{host}");
    }
}

#[test]
fn nobody_is_sent_into_this_network() {
    let sent = |url: &str, plain| may_be_sent_to(&Url::parse(url).unwrap(), plain);
    assert!(sent("https://cdn.example/blob?x=1", false));
    for url in [
        "http://cdn.example/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://[::1]/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://localhost/",
        "https://a.localhost/",
        "https://router/",
        "http://127.0.0.1:2375/",
        "file:///etc/shadow",
    ] {
        assert!(!sent(url, false), "{url}");
    }
    assert!(sent("http://127.0.0.1:5001/token", true));
    assert!(!sent("http://10.0.0.1/", true));
}
