//! What a server says when it listens: where, with which keys, and how to try it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use medparse_server::store::AuthMode;
use medparse_server::{Access, AppState, Certificates, azure, curl_line};

use super::keys::VARIABLE;

/// What is said once the server listens.
pub struct Announcement<'a> {
    state: &'a AppState,
    certificates: Option<&'a Certificates>,
    base: String,
}

impl<'a> Announcement<'a> {
    /// Of a server that listens on `address`.
    pub fn new(
        state: &'a AppState,
        address: SocketAddr,
        certificates: Option<&'a Certificates>,
    ) -> Self {
        let base = match &state.config().public_url {
            Some(url) => url.clone(),
            None => {
                let scheme = if certificates.is_some() { "https" } else { "http" };
                format!("{scheme}://{}", reachable(address))
            }
        };
        Self { state, certificates, base }
    }

    /// The text.
    pub fn text(&self) -> String {
        let uri = format!("{}/score", self.base);
        let folder = self.state.store().folder().display();
        format!(
            "scoring URI  {uri}\npage         {page}\nready at     {base}/ready\nkeys         {keys}\nstate        {folder}\n\n{curl}\n",
            base = self.base,
            page = self.page(),
            keys = self.keys(),
            curl = self.curl(&uri),
        )
    }

    /// Where the page is.
    pub fn page(&self) -> String {
        format!("{}/ui/", self.base)
    }

    /// The environment for Azure's clients, as a shell sources it; writes `config`, which they read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn exports(&self, config: &Path) -> Result<String> {
        azure::write_config(config, &self.state.config().workspace)
            .with_context(|| format!("cannot write {}", config.display()))?;
        let exports = azure::exports(&self.base, self.state.store(), self.certificates);
        let lines = exports
            .iter()
            .map(|export| format!("export {}={}\n", export.name, quoted(export.value.expose())));
        Ok(lines.collect())
    }

    fn keys(&self) -> String {
        let config = self.state.config();
        if config.access == Access::Open {
            return "nobody is asked for one: only this machine can connect (--auth asks)".into();
        }
        if !config.given_keys.is_empty() {
            return format!("those of {VARIABLE}, for every endpoint");
        }
        match self.auth_mode() {
            AuthMode::Key => self.show_keys(""),
            mode => format!("none: the endpoint takes tokens (auth_mode {mode})"),
        }
    }

    /// A line that works as pasted. It fetches the key when it runs, so that logs of this output
    /// hold none.
    fn curl(&self, uri: &str) -> String {
        let config = self.state.config();
        let key = if config.access == Access::Open || self.auth_mode() != AuthMode::Key {
            None
        } else if !config.given_keys.is_empty() {
            Some(format!("'\"${{{VARIABLE}%%,*}}\"'"))
        } else {
            Some(format!("'\"$({})\"'", self.show_keys(" --only primary")))
        };
        let authority = self.certificates.and_then(Certificates::authority_file);
        curl_line(uri, key.as_deref(), authority)
    }

    fn show_keys(&self, flags: &str) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| "medparse".into());
        let (program, folder) =
            (program.display().to_string(), self.state.store().folder().display().to_string());
        format!("{} keys show{flags} --state {}", quoted(&program), quoted(&folder))
    }

    fn auth_mode(&self) -> AuthMode {
        let document = self.state.store().read().unwrap_or_default();
        let default = document.default_endpoint.as_ref();
        default
            .and_then(|name| document.endpoints.get(name))
            .map_or(AuthMode::Key, |endpoint| endpoint.auth_mode)
    }
}

/// Where clients on this machine reach a listener.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, expected) in [
            ("/data/state", "/data/state"),
            ("/my data", "'/my data'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn an_address_of_every_interface_is_reached_by_name() {
        assert_eq!(reachable(([0, 0, 0, 0], 5001).into()), "localhost:5001");
        assert_eq!(reachable(([127, 0, 0, 1], 80).into()), "127.0.0.1:80");
        assert_eq!(reachable("[::1]:5001".parse().unwrap()), "[::1]:5001");
    }
}
