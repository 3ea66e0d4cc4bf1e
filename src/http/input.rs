//! Strict input: bodies, queries, path names and headers, each refused with a sentence that says what is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use crate::id::LeaseId;
use crate::job::types::RequestKey;

/// A JSON body of a known type: unknown fields, wrong types and double names are refused.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = json(request, state).await?;
        serde_json::from_slice(&bytes)
            .map(Body)
            .map_err(|error| ApiError::bad_request(format!("the body is not as it must be: {error}")))
    }
}

/// As [`Body`], for bodies with secrets: a refusal says where it went wrong, and repeats nothing of the body.
pub struct QuietBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for QuietBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = json(request, state).await?;
        serde_json::from_slice(&bytes).map(QuietBody).map_err(|error| {
            let what = if error.is_data() {
                "a field is missing, unknown, there twice, or not of its type"
            } else {
                "it is no JSON"
            };
            let (line, column) = (error.line(), error.column());
            ApiError::bad_request(format!(
                "the body is not as it must be at line {line} column {column}: {what}; it holds secrets, so it is not shown"
            ))
        })
    }
}

/// The bytes of a body that says that it is JSON.
async fn json<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = |value: &str| value.split(';').next().unwrap_or_default().trim() == "application/json";
    if !content_type.is_some_and(is_json) {
        let message = "send the body as Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "notJson", message));
    }
    Ok(Raw::from_request(request, state).await?.0)
}

/// A body of bytes, up to the limit of the route.
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Raw).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "tooLarge",
                "the body is larger than this route takes",
            ),
            _ => ApiError::bad_request(format!("the body could not be read: {rejection}")),
        })
    }
}

/// A query of a known type.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Asked(query.0)).map_err(|error| {
            ApiError::bad_request(format!("the query is not as it must be: {}", error.body_text()))
        })
    }
}

/// Names in the path: each is parsed into its type, so what is no name is not found.
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Named(path.0)).map_err(|error| {
            ApiError::new(StatusCode::NOT_FOUND, "notFound", format!("no such path: {}", error.body_text()))
        })
    }
}

/// Tells a field that is `null` from one that is absent.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// The header `Job-Lease`, which every call of an agent about its job carries.
pub fn lease(headers: &HeaderMap) -> Result<LeaseId, ApiError> {
    let missing = || ApiError::bad_request("send the lease you got with the job as the header Job-Lease");
    let value = headers.get("job-lease").ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| missing())?;
    text.parse().map_err(|error: crate::id::BadName| ApiError::bad_request(error.to_string()))
}

/// The header `Idempotency-Key`, if it is there.
pub struct Idempotency(pub Option<RequestKey>);

impl<S: Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default().parse::<RequestKey>();
        key.map(|key| Self(Some(key))).map_err(|error| ApiError::bad_request(error.to_string()))
    }
}

/// The one version that a header such as `If-Match: "…"` names, without its quotes; `*` and lists name none.
pub fn version(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()?.trim().strip_prefix('"')?.strip_suffix('"')
}

/// The first and last byte that `Content-Range: bytes 0-499/*` says (RFC 9110 §14.4).
pub fn content_range(headers: &HeaderMap, length: usize) -> Result<u64, ApiError> {
    let wanted = || {
        ApiError::bad_request(
            "send Content-Range: bytes <first>-<last>/*, with last inclusive, for the bytes of the body",
        )
    };
    let value =
        headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).ok_or_else(wanted)?;
    let range = value.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).map(|(range, _)| range);
    let (first, last) = range.and_then(|range| range.split_once('-')).ok_or_else(wanted)?;
    let (first, last): (u64, u64) = first.parse().ok().zip(last.parse().ok()).ok_or_else(wanted)?;
    if last.checked_sub(first).and_then(|span| span.checked_add(1)) != Some(length as u64) {
        return Err(ApiError::bad_request(format!(
            "Content-Range says {first}-{last}, and the body has {length} bytes"
        )));
    }
    Ok(first)
}

/// One range of `Range: bytes=0-499`, for a file of this size (RFC 9110 §14.2). Several ranges are answered with the whole.
pub fn byte_range(headers: &HeaderMap, size: u64) -> Result<Option<std::ops::Range<u64>>, ApiError> {
    let Some(value) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some(range) = value.strip_prefix("bytes=").filter(|range| !range.contains(',')) else {
        return Ok(None);
    };
    let Some((first, last)) = range.split_once('-') else { return Ok(None) };
    let bounds = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Ok(None),
    };
    if bounds.is_empty() {
        let message = format!("the file has {size} bytes");
        return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "rangeNotSatisfiable", message)
            .with_header(header::CONTENT_RANGE, &format!("bytes */{size}")));
    }
    Ok(Some(bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_content_range_must_fit_its_body() {
        let range = |value, length| content_range(&with(header::CONTENT_RANGE, value), length).ok();
        assert_eq!(range("bytes 0-499/*", 500), Some(0));
        assert_eq!(range("bytes 7-7/*", 1), Some(7));
        for (bad, length) in [
            ("bytes 0-500/*", 500),
            ("0-499", 500),
            ("bytes 5-4/*", 0),
            ("bytes 0-18446744073709551615/*", 0),
        ] {
            assert_eq!(range(bad, length), None, "{bad}");
        }
    }

    #[test]
    fn a_range_is_cut_to_the_file_and_nonsense_gives_the_whole() {
        let range = |value| byte_range(&with(header::RANGE, value), 100).ok();
        assert_eq!(range("bytes=0-9"), Some(Some(0..10)));
        assert_eq!(range("bytes=90-"), Some(Some(90..100)));
        assert_eq!(range("bytes=-10"), Some(Some(90..100)));
        assert_eq!(range("bytes=90-500"), Some(Some(90..100)));
        assert_eq!(range("lines=1-2"), Some(None));
        assert_eq!(range("bytes=100-"), None, "not satisfiable");
    }
}
