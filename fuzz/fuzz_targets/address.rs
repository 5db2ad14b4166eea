//! Addresses from strangers: what is taken is printable, and is the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::address::{Address, Features, Host, Locator, Protocol, parse_port};

fuzz_target!(|text: &str| {
    if let Ok(protocol) = Protocol::new(text) {
        assert_eq!(Protocol::new(protocol.as_str()).as_ref(), Ok(&protocol));
        assert!(!protocol.as_str().bytes().any(|b| b.is_ascii_lowercase()));
    }
    if let Ok(host) = Host::new(text) {
        assert_eq!(Host::new(host.as_str()).as_ref(), Ok(&host));
        assert!(host.as_str().len() <= 253 && host.as_str().is_ascii());
        let address = Address::network(Protocol::HTTP, host.clone(), 80);
        let authority = address.authority().expect("a network address has one");
        // What stands in a URL is read back as the same place.
        if let Some(ip) = host.ip() {
            assert_eq!(authority.parse::<std::net::SocketAddr>().map(|at| at.ip()), Ok(ip));
        } else {
            assert_eq!(authority, format!("{host}:80"));
        }
    }
    if let Ok(port) = parse_port(text) {
        assert_eq!(text.trim_start_matches('0'), port.to_string());
    }
    if let Ok(locator) = Locator::new(text) {
        assert_eq!(locator.as_str(), text);
    }
    if let Ok(features) = Features::new(text.split(',')) {
        let names: Vec<&str> = features.iter().collect();
        assert!(names.is_sorted());
        assert_eq!(Features::new(names.iter().copied()).as_ref(), Ok(&features));
    }
});
