//! Which other origins may use the API from a browser: none, or exactly those that the operator names.
//!
//! What a request says of its origin is compared with these byte by byte, and only they are ever written into an answer.

use std::fmt;
use std::str::FromStr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Url;

/// The methods of the API.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// The headers that a page may send.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, mrx-csrf, range",
);
/// The headers that a page may read.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "content-disposition, content-range, etag, mrx-commit, mrx-request-id, retry-after",
);
/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// An origin as browsers write it: `https://dash.example.org`, with a port if it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// The text is no origin.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no origin: write it as a browser does, https://dash.example.org or http://localhost:3000, in small letters and without a path"
)]
pub struct BadOrigin(String);

impl FromStr for Origin {
    type Err = BadOrigin;
    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        // What a browser would send is what the parser makes of it; anything else would never be equal to it.
        let plain = Url::parse(text).ok().map(|url| url.origin().ascii_serialization());
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        if is_web && !text.contains('*') && plain.as_deref() == Some(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadOrigin(text.to_owned()))
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What pages of other origins may do with the answer to a request.
pub struct Invitation {
    /// Whether any are invited at all.
    is_open: bool,
    /// The configured origin that the request is from.
    origin: Option<HeaderValue>,
}

impl Invitation {
    /// Invites the page that sent this if it is of one of these origins; pages of others get what they always got.
    pub fn of(origins: &[Origin], headers: &HeaderMap) -> Self {
        Self { is_open: !origins.is_empty(), origin: invited(origins, headers) }
    }

    /// What an invited page's browser is told before it sends what it has in mind, if it asks that.
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let is_question = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (is_question && self.origin.is_some()).then(answer)
    }

    /// Lets the page read an answer, and send the cookie.
    pub fn mark(self, response: &mut Response) {
        let headers = response.headers_mut();
        if self.is_open {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        }
    }
}

/// The configured origin that the request says it is from; one that says several says none.
fn invited(origins: &[Origin], headers: &HeaderMap) -> Option<HeaderValue> {
    let mut said = headers.get_all(header::ORIGIN).iter();
    let (Some(said), None) = (said.next(), said.next()) else { return None };
    let known = origins.iter().find(|origin| origin.0.as_bytes() == said.as_bytes())?;
    HeaderValue::from_str(&known.0).ok()
}

/// What a browser is told before it sends what it has in mind. Whether that is allowed, the route says.
fn answer() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_a_browser_writes_it() {
        for good in [
            "https://dash.example.org",
            "https://dash.example.org:8443",
            "http://localhost:3000",
            "http://[::1]:3000",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "dash.example.org",
            "https://dash.example.org/",
            "https://dash.example.org/x",
            "https://Dash.example.org",
            "HTTPS://dash.example.org",
            "https://dash.example.org:443",
            "http://x:80",
            "https://*.example.org",
            "https://a@dash.example.org",
            "https://dash.example.org?x",
            "https://dash.example.org#x",
            "file:///",
            "ftp://dash.example.org",
            "https://",
            " https://dash.example.org",
            "https://dash.example.org\n",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_very_origin_is_invited() {
        let origins: Vec<Origin> = ["https://dash.example.org", "http://localhost:3000"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let asked = |all: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in all {
                headers.append(header::ORIGIN, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            }
            invited(&origins, &headers)
        };
        assert_eq!(asked(&["https://dash.example.org", "https://evil.org"]), None, "several are none");
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&["https://dash.example.org"]).unwrap(), "https://dash.example.org");
        assert_eq!(asked(&["http://localhost:3000"]).unwrap(), "http://localhost:3000");
        for other in [
            "null",
            "*",
            "",
            "http://dash.example.org",
            "https://dash.example.org:443",
            "https://dash.example.org:8443",
            "https://dash.example.org.evil.org",
            "https://evil-dash.example.org",
            "https://evil.org/https://dash.example.org",
            "https://x.dash.example.org",
            "https://example.org",
            "https://dash.example.or",
            "https://dash.example.org/",
            "https://dash.example.org.",
            "https://DASH.example.org",
            "https://dash.example.org@evil.org",
            "https://dash.example.org evil",
            "https://dashXexample.org",
            "http://localhost",
            "http://localhost:30000",
            "https://localhost:3000",
            "http://127.0.0.1:3000",
            "https://dash.example.org, https://evil.org",
        ] {
            assert_eq!(asked(&[other]), None, "{other}");
        }
    }
}
