//! What every request passes on its way to its handler, and its answer on the way back: it gets a name and its caller's address,
//! pages of invited origins may read its answer, the guard asks who calls, and `?at=` is read.
//!
//! It is a handler around the route's own and no layer: each layer that axum keeps is boxed and copied for every request.

use std::pin::Pin;

use axum::RequestExt;
use axum::extract::{DefaultBodyLimit, RawPathParams, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};

use super::auth::{Admitted, Who, guard};
use super::client_address::{self, ClientAddress};
use super::cors::Invitation;
use super::past::At;
use super::request_id::RequestId;
use crate::app::App;

/// What a route asks of its requests.
#[derive(Clone, Copy)]
pub struct Gate {
    /// Who may call it.
    pub who: Who,
    /// Whether `?at=` reads it as it was; `None` where the query is the handler's own affair.
    pub reads_past: Option<bool>,
    /// How large a body may be.
    pub body_limit: DefaultBodyLimit,
}

/// A handler behind a gate.
#[derive(Clone)]
pub struct Gated<H> {
    /// The gate.
    pub gate: Gate,
    /// The handler.
    pub handler: H,
}

impl<T, H: Handler<T, App>> Handler<T, App> for Gated<H> {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, mut request: Request, app: App) -> Self::Future {
        Box::pin(async move {
            let id = RequestId::next();
            let mut response = id
                .of(async {
                    let passed = match self.gate.enter(&app, &mut request).await {
                        Ok(passed) => passed,
                        Err(refusal) => return refusal,
                    };
                    let response = self.handler.call(request, app.clone()).await;
                    passed.leave(&app, response)
                })
                .await;
            id.mark(&mut response);
            response
        })
    }
}

/// A request that the gate let pass.
struct Passed {
    invitation: Invitation,
    admitted: Admitted,
    at: Option<At>,
}

impl Gate {
    /// Lets a request pass, or answers it.
    async fn enter(self, app: &App, request: &mut Request) -> Result<Passed, Response> {
        self.body_limit.apply(request);
        let peer = ClientAddress::of(request.extensions());
        let address = client_address::look_behind_proxy(peer, &app.http.trusted_proxies, request);
        let invitation = Invitation::of(&app.http.dashboard_origins, request.headers());
        match self.admit(app, address, request).await {
            Ok((admitted, at)) => Ok(Passed { invitation, admitted, at }),
            Err(mut refusal) => {
                invitation.mark(&mut refusal);
                Err(refusal)
            }
        }
    }

    /// The past is read by whom the guard let pass.
    async fn admit(
        self,
        app: &App,
        address: ClientAddress,
        request: &mut Request,
    ) -> Result<(Admitted, Option<At>), Response> {
        let params = request.extract_parts::<RawPathParams>().await.ok();
        let admitted = guard(self.who, app, address, params.as_ref(), request).await?;
        let at = match self.reads_past {
            Some(reads_past) => At::take(reads_past, request).map_err(IntoResponse::into_response)?,
            None => None,
        };
        Ok((admitted, at))
    }
}

impl Passed {
    fn leave(self, app: &App, mut response: Response) -> Response {
        if let Some(at) = self.at {
            at.mark(&mut response);
        }
        let mut response = self.admitted.watch(app, response);
        self.invitation.mark(&mut response);
        response
    }
}
