//! Addresses: the hub's own, those it redirects to, and which of them may see the token.

use ureq::http::Uri;

use super::error::HubError;
use super::reference::HubReference;

/// The hub's address, with a path in front where a mirror has one.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Without a `/` at the end.
    text: String,
    uri: Uri,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, HubError> {
        let problem = |problem: &str| HubError::Setting {
            setting: "the hub's address (HF_ENDPOINT)".into(),
            problem: format!("{problem}; expected something like https://huggingface.co"),
        };
        let text = text.trim().trim_end_matches('/').to_owned();
        let uri: Uri = text.parse().map_err(|_| problem("is no URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(problem("has neither the scheme http nor https"));
        }
        if uri.query().is_some() {
            return Err(problem("has a query"));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(problem("holds a user name or password"));
        }
        Ok(Self { text, uri })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn listing(&self, reference: &HubReference) -> Result<Uri, HubError> {
        let revision = encode(&reference.revision, "");
        self.join(&format!("api/models/{}/revision/{revision}", reference.repository()))
    }

    pub(super) fn file(
        &self,
        reference: &HubReference,
        commit: &str,
        file: &str,
    ) -> Result<Uri, HubError> {
        self.join(&format!("{}/resolve/{commit}/{}", reference.repository(), encode(file, "/")))
    }

    /// Whether scheme, host and port are the hub's own: only then may a request carry the token.
    pub(super) fn same_origin(&self, uri: &Uri) -> bool {
        let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
        uri.scheme() == self.uri.scheme()
            && host(uri) == host(&self.uri)
            && port(uri) == port(&self.uri)
    }

    fn join(&self, path: &str) -> Result<Uri, HubError> {
        format!("{}/{path}", self.text).parse().map_err(|_| HubError::Protocol {
            peer: peer(&self.uri),
            problem: format!("/{path} makes no URL"),
        })
    }
}

/// Where a redirect leads (RFC 9110 section 10.2.2); never from https to plain http.
pub(super) fn redirected(from: &Uri, location: &str) -> Result<Uri, &'static str> {
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let absolute = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.split(['/', '?']).next().is_some_and(|piece| piece.contains(':')) {
        return Err("a redirect to something other than http or https");
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let target: Uri = absolute.parse().map_err(|_| "a redirect to something that is no URL")?;
    if scheme == "https" && target.scheme_str() != Some("https") {
        return Err("a redirect from https to plain http");
    }
    Ok(target)
}

/// Host and port for a sentence: paths and queries of redirects carry signatures, which nobody should paste.
pub(super) fn peer(uri: &Uri) -> String {
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "an unnamed host".to_owned(),
    }
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 })
}

/// Percent-encodes all but RFC 3986's unreserved characters and those in `keep`.
fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || keep.as_bytes().contains(&byte)
        {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_the_hubs_addresses() {
        let hub = Endpoint::parse("https://mirror.example/hf/").unwrap();
        let reference: HubReference = "hub:lab/model@refs%2Fpr%2F1".parse().unwrap();
        assert_eq!(
            hub.listing(&reference).unwrap().to_string(),
            "https://mirror.example/hf/api/models/lab/model/revision/refs%2Fpr%2F1"
        );
        assert_eq!(
            hub.file(&reference, "abc", "w/a b#ü.pt").unwrap().to_string(),
            "https://mirror.example/hf/lab/model/resolve/abc/w/a%20b%23%C3%BC.pt"
        );
    }

    #[test]
    fn refuses_addresses_that_are_none() {
        for bad in [
            "",
            "huggingface.co",
            "ftp://a.example",
            "https://",
            "https://me:secret@a.example",
            "https://a/?q=1",
        ] {
            let error = Endpoint::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("HF_ENDPOINT") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_token_belongs_to_one_origin() {
        let hub = Endpoint::parse("https://huggingface.co").unwrap();
        for (address, own) in [
            ("https://huggingface.co/a", true),
            ("https://HuggingFace.co:443/a", true),
            ("http://huggingface.co/a", false),
            ("https://huggingface.co:8443/a", false),
            ("https://cdn.huggingface.co/a", false),
            ("https://huggingface.co.evil.example/a", false),
        ] {
            assert_eq!(hub.same_origin(&address.parse().unwrap()), own, "{address}");
        }
    }

    #[test]
    fn resolves_redirects() {
        let from: Uri = "https://a.example/x/y?z=1".parse().unwrap();
        for (location, expected) in [
            ("https://b.example/q?s=1", Ok("https://b.example/q?s=1")),
            ("//b.example/q", Ok("https://b.example/q")),
            ("/q", Ok("https://a.example/q")),
            ("q", Ok("https://a.example/x/q")),
            ("http://a.example/q", Err(())),
            ("ftp://a.example/q", Err(())),
            ("https://", Err(())),
        ] {
            let found = redirected(&from, location).map(|uri| uri.to_string()).map_err(|_| ());
            assert_eq!(found, expected.map(str::to_owned), "{location}");
        }
    }
}
