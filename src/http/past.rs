//! `?at=`: reading state as it was. The table of routes says which paths have a past; here it is read from the query, once for
//! all of them, and the commit that an answer was read at goes out as `Mrx-Commit`.
//!
//! Rights are those of now: the guard has let the caller pass before this is looked at.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use parking_lot::Mutex;

use super::error::{ApiError, ApiResult};
use crate::app::App;
use crate::state::layout::RepoName;
use crate::state::moment::Moment;
use crate::state::oid::Oid;

/// The name in the query.
const AT: &str = "at";

/// What moment a request asks about, and what was read for it.
#[derive(Clone, Default)]
pub struct At {
    asked: Option<Moment>,
    read: Arc<Mutex<Option<Oid>>>,
}

/// The address without `at`, and what `at` said.
fn taken_out(uri: &Uri) -> ApiResult<Option<(Uri, Moment)>> {
    let Some(query) = uri.query() else { return Ok(None) };
    let is_at = |piece: &&str| piece.split('=').next() == Some(AT);
    let (found, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_at);
    let text = match found[..] {
        [] => return Ok(None),
        [one] => one,
        _ => return Err(ApiError::bad_request("the query says at more than once")),
    };
    let bad = || ApiError::bad_request("at cannot be read: write it percent-encoded");
    let piece: Uri = format!("/?{text}").parse().map_err(|_| bad())?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&piece).map_err(|_| bad())?;
    let value = pairs.into_iter().next().map(|(_, value)| value).unwrap_or_default();
    let moment = value.parse().map_err(|error: crate::state::moment::BadMoment| {
        ApiError::bad_request(format!("at is no moment: {error}"))
    })?;
    let path = uri.path();
    let rest = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    Ok(Some((rest.parse().map_err(|_| bad())?, moment)))
}

impl<S: Sync> FromRequestParts<S> for At {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

impl At {
    /// Takes `at` out of the query of a path that has a past, and refuses it elsewhere.
    pub fn take(reads_past: bool, request: &mut Request) -> ApiResult<Option<Self>> {
        let Some((rest, asked)) = taken_out(request.uri())? else { return Ok(None) };
        if !reads_past {
            let message = "this path has no past that could be read: leave at out of the query";
            return Err(ApiError::bad_request(message));
        }
        *request.uri_mut() = rest;
        let at = At { asked: Some(asked), read: Arc::default() };
        request.extensions_mut().insert(at.clone());
        Ok(Some(at))
    }

    /// Says in the answer which commit was read, if one was.
    pub fn mark(&self, response: &mut Response) {
        let read = self.read.lock().map(|commit| commit.to_string());
        if let Some(commit) = read.and_then(|commit| HeaderValue::from_str(&commit).ok()) {
            response.headers_mut().insert("mrx-commit", commit);
        }
    }

    /// Whether the past is asked about.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The commit of a repository's state that is asked about; `None` for now.
    pub async fn commit(&self, app: &App, repo: &RepoName) -> ApiResult<Option<Oid>> {
        match self.asked {
            None => Ok(None),
            Some(moment) => self.find(app, repo, moment).await.map(Some),
        }
    }

    /// The same of the platform for what it says of a project: a commit of the project is the time at which it was made.
    pub async fn commit_of_entry(&self, app: &App, project: &RepoName) -> ApiResult<Option<Oid>> {
        let Some(Moment::Commit(commit)) = self.asked else {
            return self.commit(app, &RepoName::Platform).await;
        };
        if app.state.commit_at(&RepoName::Platform, Moment::Commit(commit)).await?.is_some() {
            return self.find(app, &RepoName::Platform, Moment::Commit(commit)).await.map(Some);
        }
        self.find(app, project, Moment::Commit(commit)).await?;
        let made_at = app.state.time_of(project, commit).await?;
        self.find(app, &RepoName::Platform, Moment::Time(made_at)).await.map(Some)
    }

    /// Where a page of a list begins: in which commit, `None` for now, and behind what. Behind the first page of a list of
    /// the past the cursor says the commit, so `at` may be left out there.
    pub async fn page<T: FromStr>(
        &self,
        app: &App,
        repo: &RepoName,
        cursor: Option<String>,
    ) -> ApiResult<(Option<Oid>, Option<T>)> {
        let Some(text) = cursor else { return Ok((self.commit(app, repo).await?, None)) };
        let cursor: Cursor<T> = text.parse().map_err(|BadCursor| bad_cursor())?;
        let Some(commit) = cursor.commit else {
            // One of a list of now, or written by hand: it says a place alone.
            return Ok((self.commit(app, repo).await?, Some(cursor.last)));
        };
        self.agrees_with(commit)?;
        let found = self.find(app, repo, Moment::Commit(commit)).await.map_err(|_| bad_cursor())?;
        Ok((Some(found), Some(cursor.last)))
    }

    /// The same for a list whose own cursors name a commit.
    pub async fn commit_behind(
        &self,
        app: &App,
        repo: &RepoName,
        cursor: Option<Oid>,
    ) -> ApiResult<Option<Oid>> {
        match (self.asked, cursor) {
            (None, _) => Ok(None),
            (Some(_), None) => self.commit(app, repo).await,
            (Some(_), Some(commit)) => {
                self.agrees_with(commit)?;
                self.find(app, repo, Moment::Commit(commit)).await.map(Some)
            }
        }
    }

    /// Refuses a cursor of another commit than the one that is asked about by its id. A time is the time of the first page.
    fn agrees_with(&self, commit: Oid) -> ApiResult<()> {
        match self.asked {
            Some(Moment::Commit(asked)) if asked != commit => Err(ApiError::bad_request(format!(
                "the cursor is of the list at {commit}, and at says {asked}; leave at out behind the first page"
            ))),
            _ => Ok(()),
        }
    }

    async fn find(&self, app: &App, repo: &RepoName, moment: Moment) -> ApiResult<Oid> {
        let commit = app.state.commit_at(repo, moment).await?.ok_or_else(|| unknown(repo, moment))?;
        *self.read.lock() = Some(commit);
        Ok(commit)
    }
}

fn bad_cursor() -> ApiError {
    ApiError::bad_request("the cursor is none that this list gave; begin without one")
}

/// The refusal of a moment that a repository's state does not have.
pub fn unknown(repo: &RepoName, moment: Moment) -> ApiError {
    let message = match moment {
        Moment::Commit(commit) => format!("the state of {repo} has no commit {commit}"),
        Moment::Time(time) => format!("the state of {repo} began after {time}"),
    };
    ApiError::new(StatusCode::NOT_FOUND, "commitUnknown", message)
}

/// Where the next page of a list begins: behind this one, in this commit if the list is of the past.
pub struct Cursor<T> {
    commit: Option<Oid>,
    last: T,
}

/// The text is no cursor.
pub struct BadCursor;

impl<T> Cursor<T> {
    /// Behind `last`.
    pub fn behind(commit: Option<Oid>, last: T) -> Self {
        Self { commit, last }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Cursor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.commit.map_or(Ok(()), |commit| write!(f, "{commit}."))?;
        self.last.fmt(f)
    }
}

impl<T: FromStr> FromStr for Cursor<T> {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let bound = text.split_once('.').and_then(|(commit, last)| Some((commit.parse().ok()?, last)));
        let (commit, last) = bound.map_or((None, text), |(commit, last)| (Some(commit), last));
        Ok(Self { commit, last: last.parse().map_err(|_| BadCursor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(address: &str) -> Result<Option<String>, String> {
        let found = taken_out(&address.parse().unwrap());
        found.map(|found| found.map(|(uri, _)| uri.to_string())).map_err(|refusal| refusal.code().to_owned())
    }

    #[test]
    fn at_is_taken_out_of_the_query_and_the_rest_stays() {
        let time = "2026-11-20T18:30:00Z";
        for (query, left) in [
            (format!("/a?at={time}"), "/a"),
            (format!("/a?limit=2&at={time}&x=%20y"), "/a?limit=2&x=%20y"),
            (format!("/a?at={}", "2026-11-20T18%3A30%3A00%2B01%3A00"), "/a"),
        ] {
            assert_eq!(rest(&query), Ok(Some(left.to_owned())), "{query}");
        }
        for none in ["/a", "/a?cat=1", "/a?x=at"] {
            assert_eq!(rest(none), Ok(None), "{none}");
        }
        for bad in ["/a?at", "/a?at=", "/a?at=now", "/a?at=%FF", &format!("/a?at={time}&at={time}")] {
            assert_eq!(rest(bad), Err("badRequest".to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_cursor_of_the_past_names_its_commit() {
        let commit: Oid = "0123456789012345678901234567890123456789".parse().unwrap();
        let text = Cursor::behind(Some(commit), 7).to_string();
        assert_eq!(text, "0123456789012345678901234567890123456789.7");
        let back = |text: &str| text.parse::<Cursor<u32>>().ok().map(|cursor| (cursor.commit, cursor.last));
        assert_eq!(back(&text), Some((Some(commit), 7)));
        assert_eq!(back("7"), Some((None, 7)));
        for bad in ["", "x", "0123.7", &format!("{commit}."), &format!("{commit}.x")] {
            assert_eq!(back(bad), None, "{bad}");
        }
    }
}
