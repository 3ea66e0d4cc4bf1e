//! Which addresses a webhook may call: of the public internet, by https, unless the operator allows others. Decides only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// The longest address of a webhook.
const URL_BYTES_MAX: usize = 2048;

/// Why an address is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// The text is none.
    #[error(
        "the address of a webhook is https://host/path, without a user name, password or fragment, at most {URL_BYTES_MAX} bytes"
    )]
    NotAnAddress,
    /// It leads into a network that the daemon may be able to reach and its users not.
    #[error("{0} is not an address of the public internet; webhooks go nowhere else")]
    NotPublic(String),
}

/// Reads the address of a webhook. A name is checked again when it is resolved.
pub fn parse(text: &str, allow_private: bool) -> Result<Url, BadTarget> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.len() > URL_BYTES_MAX || text.chars().any(odd) {
        return Err(BadTarget::NotAnAddress);
    }
    let url = Url::parse(text).map_err(|_| BadTarget::NotAnAddress)?;
    let has_scheme = url.scheme() == "https" || (allow_private && url.scheme() == "http");
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !has_scheme || !is_bare || url.port_or_known_default().is_none_or(|port| port == 0) {
        return Err(BadTarget::NotAnAddress);
    }
    let host = url.host_str().ok_or(BadTarget::NotAnAddress)?;
    if allow_private {
        return Ok(url);
    }
    match literal(host) {
        Some(ip) if !is_public(ip) => Err(BadTarget::NotPublic(ip.to_string())),
        None if is_local_name(host) => Err(BadTarget::NotPublic(host.to_owned())),
        _ => Ok(url),
    }
}

/// The address that a host of a URL is by itself; every odd spelling of one has been made plain by then.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    // A name without a dot is one of the local network.
    !host.contains('.')
        || matches!(
            last,
            "localhost" | "local" | "internal" | "localdomain" | "lan" | "home" | "arpa" | "onion"
        )
}

/// Whether an address is one that everybody on the internet reaches.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// All but what the registry of special addresses (RFC 6890 and its successors) takes away.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// Of what is global unicast (2000::/3) what leads to no IPv4 address and no document. IPv4 within IPv6 is outside of it.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let is_global = (0x2000..=0x3fff).contains(&a);
    let is_special = match a {
        // Protocol assignments, Teredo, benchmarks, ORCHID; documents.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 6to4.
        0x2002 => true,
        // Documents.
        0x3fff => b < 0x1000,
        _ => false,
    };
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_inner_address_is_called() {
        let refused = [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "127.255.255.254",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0x7f.1",
            "0177.0.0.1",
            "0177.1",
            "017700000001",
            "127.0.0.1.",
            "0",
            "0.0.0.0",
            "0x0",
            "00",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "10.1",
            "167772161",
            "0xa000001",
            "012.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.16689662",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.1",
            "3232235521",
            "0300.0250.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "4294967295",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::8.8.8.8]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001::1]",
            "[2001:0:7f00:1::]",
            "[2001:10::1]",
            "[2001:20::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[2002:a00:1::1]",
            "[2002:808:808::1]",
            "[3fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[fe80::a9fe:a9fe]",
            "[fec0::1]",
            "[ff02::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "printer.local",
            "db.internal",
            "metadata",
            "metadata.google.internal",
            "router.lan",
            "1.0.0.127.in-addr.arpa",
            "１２７.０.０.１",
            "127。0。0。1",
            "ⓛocalhost",
        ];
        assert!(refused.len() >= 60);
        for host in refused {
            let url = format!("https://{host}/hook");
            assert!(parse(&url, false).is_err(), "{url} was taken: {:?}", parse(&url, false));
        }
        for odd in [
            "http://example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "gopher://example.org",
            "https://",
            "https://user@example.org/",
            "https://a:b@example.org/",
            "https://example.org/#x",
            "https://exa mple.org/",
            "https://example.org\\@127.0.0.1/",
            "https://example.org:0/",
            "//example.org/",
            "example.org",
            "",
            "https://example.org/\r\nHost: x",
            "https://[::1%25eth0]/",
            "javascript:alert(1)",
            "https://256.0.0.1/",
        ] {
            assert_eq!(parse(odd, false), Err(BadTarget::NotAnAddress), "{odd}");
        }
    }

    #[test]
    fn what_everybody_reaches_is_called() {
        for host in [
            "example.org",
            "hooks.example.co.uk",
            "example.org.",
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[2001:4860:4860::8888]",
            "[2a00:1450::1]",
        ] {
            let url = format!("https://{host}:8443/hook?x=1");
            assert!(parse(&url, false).is_ok(), "{url}: {:?}", parse(&url, false));
        }
        assert!(parse("http://127.0.0.1:9/", true).is_ok(), "where the operator allows it");
        assert!(parse("ftp://127.0.0.1/", true).is_err());
    }
}
