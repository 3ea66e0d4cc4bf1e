//! From which address a request comes: its peer's, or what a proxy says that the operator trusts.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

/// What a proxy adds the address of its own peer to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What is known of a request; one that came over no connection comes from nowhere.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(ClientAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Lets what a trusted proxy says stand for the peer's address; tells which it is.
pub fn look_behind_proxy(peer: ClientAddress, trusted: &[IpAddr], request: &mut Request) -> ClientAddress {
    let address = ClientAddress(behind(peer.0, request.headers(), trusted));
    if address != peer {
        request.extensions_mut().insert(address);
    }
    address
}

/// The last address that is no trusted proxy's: each proxy appends who called it, and what stands before that is a stranger's
/// word.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    if trusted.is_empty() {
        return peer;
    }
    let is_trusted = |address: &IpAddr| trusted.contains(&address.to_canonical());
    let mut address = peer;
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&address) {
            return address;
        }
        // What cannot be read ends the chain: the last proxy that could be read is who called.
        let Ok(hop) = hop.trim().parse() else { return address };
        address = hop;
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<IpAddr> = trusted.iter().map(|address| address.parse().unwrap()).collect();
        behind(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_calls() {
        assert_eq!(seen("192.0.2.7", &["203.0.113.9"], &[]), "192.0.2.7");
        assert_eq!(seen("192.0.2.7", &["203.0.113.9"], &["127.0.0.1"]), "192.0.2.7");
        assert_eq!(seen("127.0.0.1", &["203.0.113.9"], &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(seen("::ffff:127.0.0.1", &["203.0.113.9"], &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &[], &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn what_a_stranger_puts_before_it_is_not_believed() {
        let (two, one) = (["127.0.0.1", "10.0.0.1"], ["127.0.0.1"]);
        assert_eq!(seen("127.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.1"], &two), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["198.51.100.1", "203.0.113.9"], &one), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["198.51.100.1, nobody"], &one), "127.0.0.1");
    }
}
