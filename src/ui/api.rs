//! The HTTP side of the dashboard: its files, with what a browser must know to trust nothing else.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::assets::{Asset, Assets};
use super::choose::{Choice, Chosen, Coding, choose};
use crate::http::answer::with_etag;
use crate::http::error::ApiError;

/// Scripts, styles and calls are the daemon's own; pictures may also be made in the page. Nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A file whose name has a hash of its content never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Others are asked for each time, and not sent if they are the same.
const ASK: &str = "no-cache";
/// What a binary serves that was built without the dashboard.
const NOT_BUILT: &str = include_str!("not_built.html");

/// `GET /`: leads to the dashboard.
#[utoipa::path(get, path = "/", responses((status = 307, description = "The dashboard is at /ui/")))]
pub async fn root() -> Redirect {
    Redirect::temporary("/ui/")
}

/// `GET /ui`: leads to the dashboard.
#[utoipa::path(get, path = "/ui", responses((status = 307, description = "The dashboard is at /ui/")))]
pub async fn without_slash() -> Redirect {
    Redirect::temporary("/ui/")
}

/// `GET /ui/`: the dashboard's first page.
#[utoipa::path(get, path = "/ui/", params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "The caller has it"),
    ))]
pub async fn index(headers: HeaderMap) -> Response {
    answer(Assets::built(), "", &headers)
}

/// `GET /ui/{path}`: a file of the dashboard; its first page for every address of its own.
#[utoipa::path(get, path = "/ui/{path}",
    params(("path" = String, Path, description = "Also with slashes"), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The file or the page", body = String, content_type = "text/html"),
        (status = 304, description = "The caller has it"),
        (status = 404, description = "notFound: there is no such file"),
    ))]
pub async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    answer(Assets::built(), &path, &headers)
}

fn answer(assets: &'static Assets, path: &str, headers: &HeaderMap) -> Response {
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chosen = choose(assets, path, said(header::ACCEPT_ENCODING), said(header::IF_NONE_MATCH));
    let response = match chosen {
        Choice::File(chosen) => described(body(chosen.asset, chosen.coding), &chosen),
        Choice::Unchanged(chosen) => described(StatusCode::NOT_MODIFIED.into_response(), &chosen),
        Choice::Missing => {
            let message =
                "the dashboard has no such file; a page that was open before an update is loaded anew";
            ApiError::new(StatusCode::NOT_FOUND, "notFound", message).into_response()
        }
        Choice::NotBuilt => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response(),
    };
    guarded(response)
}

fn body(asset: &'static Asset, coding: Coding) -> Response {
    let bytes = match asset.bytes(coding) {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::copy_from_slice(bytes),
    };
    let mut response = Body::from(bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    if let Some(word) = coding.word() {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(word));
    }
    response
}

fn described(response: Response, chosen: &Chosen<'_>) -> Response {
    let mut response = with_etag(response, &chosen.version());
    let keep = if chosen.is_immutable { FOR_EVER } else { ASK };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
