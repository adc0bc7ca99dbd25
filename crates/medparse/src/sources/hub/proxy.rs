//! Which proxy, if any, stands between this machine and an address.

use std::fmt;

use ureq::Proxy;
use ureq::http::Uri;

use super::endpoint::peer;
use super::error::HubError;

/// The proxies of the environment: one for `https` addresses, one for `http`, and the hosts reached without any.
///
/// An HTTP proxy is asked to `CONNECT` for both kinds of address, so that it sees neither the token nor the files;
/// `socks5://`, `socks5h://` and `socks4://` work too.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exempt: Vec<String>,
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; the lower-case twin of each wins.
    ///
    /// # Errors
    ///
    /// [`HubError::Setting`] where a proxy's address cannot be read; its text is not repeated, as it may hold a
    /// password.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let read = |name: &str| {
            let text = variable(&name.to_ascii_lowercase()).or_else(|| variable(name))?;
            (!text.trim().is_empty()).then(|| text.trim().to_owned())
        };
        let proxy = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| Some((name, read(name)?)))
                .map(|(name, text)| parse(name, &text))
                .transpose()
        };
        let exempt = read("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy(["HTTP_PROXY", "ALL_PROXY"])?,
            https: proxy(["HTTPS_PROXY", "ALL_PROXY"])?,
            exempt: exempt
                .split([',', ' '])
                .filter(|entry| !entry.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        })
    }

    /// The proxy for an address.
    pub(super) fn towards(&self, uri: &Uri) -> Option<&Proxy> {
        let proxy =
            if uri.scheme_str() == Some("http") { self.http.as_ref() } else { self.https.as_ref() };
        proxy.filter(|_| !self.is_exempt(uri))
    }

    /// `NO_PROXY` as curl and Python read it: a name means itself and all below it, with or without a port.
    fn is_exempt(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        self.exempt.iter().any(|entry| {
            let name = entry.strip_suffix(port.as_str()).unwrap_or(entry);
            let name =
                name.trim_start_matches("*.").trim_start_matches('.').trim_matches(['[', ']']);
            entry == "*"
                || host == name
                || host.strip_suffix(name).is_some_and(|above| above.ends_with('.'))
        })
    }
}

/// Hosts and ports only: a proxy's address may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<Proxy>| proxy.as_ref().map(name);
        out.debug_struct("Proxies")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("exempt", &self.exempt)
            .finish()
    }
}

/// A proxy's host and port.
pub(super) fn name(proxy: &Proxy) -> String {
    peer(proxy.uri())
}

fn parse(variable: &str, text: &str) -> Result<Proxy, HubError> {
    Proxy::new(text).map_err(|_| HubError::Setting {
        setting: variable.into(),
        problem: "is no proxy address; expected something like http://proxy.example:3128".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, HubError> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|&(k, v)| (k.into(), v.into())).collect();
        Proxies::from_variables(&move |name| {
            variables.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone())
        })
    }

    fn towards(proxies: &Proxies, address: &str) -> Option<String> {
        proxies.towards(&address.parse().unwrap()).map(name)
    }

    #[test]
    fn one_proxy_for_each_scheme() {
        let some =
            proxies(&[("HTTPS_PROXY", "http://s:1"), ("http_proxy", "p:2"), ("HTTP_PROXY", "q:3")])
                .unwrap();
        assert_eq!(towards(&some, "https://hub").as_deref(), Some("s:1"));
        assert_eq!(towards(&some, "http://hub").as_deref(), Some("p:2"));
        let all = proxies(&[("ALL_PROXY", "socks5h://a:9"), ("HTTPS_PROXY", "")]).unwrap();
        assert_eq!(towards(&all, "https://hub").as_deref(), Some("a:9"));
        assert_eq!(towards(&proxies(&[]).unwrap(), "https://hub"), None);
    }

    #[test]
    fn no_proxy_exempts_hosts() {
        for (list, address, exempt) in [
            ("*", "https://hub.example", true),
            ("hub.example", "https://hub.example", true),
            ("a.example, hub.example", "https://HUB.example:8443", true),
            ("hub.example:8443", "https://hub.example:8443", true),
            ("hub.example:8443", "https://hub.example", false),
            (".example", "https://hub.example", true),
            ("*.example", "https://hub.example", true),
            ("example", "https://hub.example", true),
            ("b.example", "https://hub.example", false),
            ("127.0.0.1", "https://127.0.0.1:5000", true),
            ("::1", "https://[::1]:5000", true),
            ("", "https://hub.example", false),
        ] {
            let some = proxies(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", list)]).unwrap();
            assert_eq!(towards(&some, address).is_none(), exempt, "{list:?} and {address}");
        }
    }

    #[test]
    fn never_repeats_a_password() {
        let error = proxies(&[("HTTPS_PROXY", "gopher://me:secret@p:1")]).unwrap_err().to_string();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
        let some = proxies(&[("HTTPS_PROXY", "http://me:secret@p:1")]).unwrap();
        assert!(format!("{some:?}").contains("p:1") && !format!("{some:?}").contains("secret"));
    }
}
