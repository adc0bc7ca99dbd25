//! `POST /score` and `GET /score`, of the default endpoint and of each by its name.

use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use serde::Deserialize;

use crate::base::Base;
use crate::body::{Held, read_json};
use crate::errors::ApiError;
use crate::prepare::Form;
use crate::routing::route;
use crate::scoring::{Exchange, Reply, answer, answer_held};
use crate::telemetry::RequestLog;
use crate::{Access, AppState, curl_line};

fn exchange(endpoint: Option<Path<String>>, form: Form) -> Exchange {
    Exchange { endpoint: endpoint.map(|Path(name)| name), form, reply: Reply::Score }
}

/// `POST /score`, `POST /endpoints/{endpoint}/score`.
pub(crate) async fn post(
    State(state): State<AppState>,
    endpoint: Option<Path<String>>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(state, request, exchange(endpoint, Form::Score)).await
}

#[derive(Deserialize)]
pub(crate) struct ScoreQuery {
    input_data: Option<String>,
}

/// `GET /score?input_data=…`, or with the JSON of a POST as its body.
pub(crate) async fn get(
    State(state): State<AppState>,
    endpoint: Option<Path<String>>,
    Base(base): Base,
    Query(query): Query<ScoreQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let log = RequestLog::of(&request);
    let path = request.uri().path().to_owned();
    let route =
        route(&state, endpoint.as_ref().map(|Path(name)| name.as_str()), request.headers())?;
    log.target(&route.target);
    let (held, form) = match query.input_data {
        Some(text) => {
            let mut charge = state.queue().charge();
            if !charge.grow(text.len()) {
                return Err(state.queue().memory_full());
            }
            (Held { bytes: text.into(), charge }, Form::Query)
        }
        None => (read_json(&state, request).await?, Form::Score),
    };
    if held.bytes.is_empty() {
        return Err(ApiError::BadRequest(how_to_call(&state, &base, &path)));
    }
    answer_held(state, route, held, exchange(endpoint, form), log).await
}

fn how_to_call(state: &AppState, base: &str, path: &str) -> String {
    let key = (state.config().access == Access::Keys).then_some("KEY");
    let line = curl_line(&format!("{base}{path}"), key, None);
    format!("GET {path} takes the request as its body or as ?input_data=; for example: {line}")
}
