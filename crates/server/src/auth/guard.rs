use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::errors::ApiError;
use crate::{Access, AppState};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Protects a server that asks nobody for a key from web pages of other origins in a browser on this machine:
/// `Host` must name this machine (a page whose name was re-pointed here names another), and `Origin`, where a browser
/// sends one, must be this server.
pub(crate) async fn guard_loopback(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if state.config().access == Access::Open
        && let Err(error) = check(request.headers())
    {
        return error.into_response();
    }
    next.run(request).await
}

fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let text =
        |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("invalid"));
    let host = text(header::HOST);
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err(ApiError::Forbidden(
            "this server asks for no key and therefore answers only as localhost; name it so, or start it with keys"
                .to_owned(),
        ));
    }
    let foreign_origin = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        Some(authority) != host
    });
    if foreign_origin || text(SEC_FETCH_SITE) == Some("cross-site") {
        return Err(ApiError::Forbidden(
            "pages of other origins may not call a server that asks for no key".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a `Host` names this machine by a loopback name or address.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_this_origin_pass() {
        let cases = [
            (&[("host", "localhost:5001")][..], true),
            (&[("host", "127.0.0.1:5001")], true),
            (&[("host", "127.8.9.1")], true),
            (&[("host", "[::1]:5001")], true),
            (&[], true),
            (&[("host", "evil.example:5001")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "192.168.1.7:5001")], false),
            (&[("host", "localhost:5001"), ("origin", "http://localhost:5001")], true),
            (&[("host", "localhost:5001"), ("origin", "http://localhost:8888")], false),
            (&[("host", "localhost:5001"), ("origin", "null")], false),
            (&[("host", "localhost:5001"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "localhost:5001"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (headers, passes) in cases {
            let map = headers
                .iter()
                .map(|&(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(check(&map).is_ok(), passes, "{headers:?}");
        }
    }
}
