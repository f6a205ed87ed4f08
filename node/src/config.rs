//! The node's configuration: defaults, then `config.toml` in its directory, then the environment.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Name of the file in the node's directory.
pub const FILE: &str = "config.toml";

/// Where a node listens if nothing else is said (`decisions.md` 7).
const LISTEN: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/7420",
    "/ip6/::/tcp/7420",
    "/ip4/0.0.0.0/udp/7420/quic-v1",
    "/ip6/::/udp/7420/quic-v1",
];
const LOG: &str = "info";

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{FILE} cannot be read: {0}")]
    Read(std::io::ErrorKind),
    /// The file is no TOML of this form; the text names line and key, which hold no patient data.
    #[error("{FILE} is malformed: {0}")]
    Malformed(String),
}

/// What `config.toml` may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Multiaddresses to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Vec<String>>,
    /// Path of the admin socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_socket: Option<PathBuf>,
    /// Log filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Path of the key file, where it is not `key` in the node's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Loopback address and port at which metrics are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// How this node and others find a way to each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<ReachFile>,
}

/// What `[reach]` in `config.toml` may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachFile {
    /// The HTTP proxy to dial through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Path of the file with the proxy's user and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_credentials: Option<PathBuf>,
    /// Whether this node relays for other members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<bool>,
    /// Node ids of the members to be relayed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relays: Option<Vec<String>>,
    /// Addresses at which others reach this node, where it cannot see them itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<Vec<String>>,
    /// Whether others can dial this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Inbound>,
}

/// Whether other nodes can dial this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inbound {
    /// It asks other members to try.
    Auto,
    /// They can.
    Open,
    /// They cannot: a firewall or an address translator stands before it.
    Closed,
}

impl Inbound {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// `config.toml`.
    File,
    /// An environment variable.
    Environment,
}

impl Origin {
    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => FILE,
            Self::Environment => "environment",
        }
    }
}

/// The configuration in force, each value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Multiaddresses to listen on.
    pub listen: (Vec<String>, Origin),
    /// Path of the admin socket, where it is not the usual one.
    pub admin_socket: (Option<PathBuf>, Origin),
    /// Log filter.
    pub log: (String, Origin),
    /// Path of the key file.
    pub key_file: (PathBuf, Origin),
    /// Where metrics are served; nowhere if nothing is said.
    pub metrics: (Option<SocketAddr>, Origin),
    /// How this node and others find a way to each other.
    pub reach: ReachConfig,
}

/// `[reach]`, each value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachConfig {
    /// The HTTP proxy to dial through, `http://HOST:PORT`.
    pub proxy: (Option<String>, Origin),
    /// Path of the file with the proxy's user and password.
    pub proxy_credentials: (Option<PathBuf>, Origin),
    /// Whether this node relays for other members.
    pub relay: (bool, Origin),
    /// Node ids of the members to be relayed by; those that agreed, where it is empty.
    pub relays: (Vec<String>, Origin),
    /// Addresses at which others reach this node; those it listens on, where it is empty.
    pub announce: (Vec<String>, Origin),
    /// Whether others can dial this node.
    pub inbound: (Inbound, Origin),
}

impl ReachConfig {
    fn read(folder: &Path, file: ReachFile) -> Self {
        let path = |path: PathBuf| folder.join(path);
        // Whoever needs a proxy to go out cannot be dialled.
        let inbound = match file.proxy {
            Some(_) => Inbound::Closed,
            None => Inbound::Auto,
        };
        Self {
            proxy: optional(file.proxy),
            proxy_credentials: optional(file.proxy_credentials.map(path)),
            relay: or(file.relay, false),
            relays: or(file.relays, Vec::new()),
            announce: or(file.announce, Vec::new()),
            inbound: or(file.inbound, inbound),
        }
    }

    fn values(&self) -> Vec<(&'static str, String, Origin)> {
        let credentials = self.proxy_credentials.0.as_ref();
        let credentials = credentials.map(|path| path.display().to_string());
        let proxy = self.proxy.0.clone().unwrap_or_default();
        vec![
            ("reach.proxy", proxy, self.proxy.1),
            (
                "reach.proxy_credentials",
                credentials.unwrap_or_default(),
                self.proxy_credentials.1,
            ),
            ("reach.relay", self.relay.0.to_string(), self.relay.1),
            ("reach.relays", self.relays.0.join(", "), self.relays.1),
            (
                "reach.announce",
                self.announce.0.join(", "),
                self.announce.1,
            ),
            (
                "reach.inbound",
                self.inbound.0.text().to_owned(),
                self.inbound.1,
            ),
        ]
    }
}

fn or<T>(file: Option<T>, default: T) -> (T, Origin) {
    match file {
        Some(value) => (value, Origin::File),
        None => (default, Origin::Default),
    }
}

fn optional<T>(file: Option<T>) -> (Option<T>, Origin) {
    let origin = match file {
        Some(_) => Origin::File,
        None => Origin::Default,
    };
    (file, origin)
}

impl Config {
    /// Reads the configuration of a node's directory.
    ///
    /// # Errors
    /// [`ConfigError`]; a key that is not known is one, so that a misspelt key is not ignored.
    pub fn load(folder: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigError::Read(error.kind())),
        };
        let environment = std::env::var("CHARTMESH_LOG").ok();
        Self::read(folder, &text, environment)
    }

    /// Reads a configuration from its text.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`].
    pub fn read(folder: &Path, text: &str, log: Option<String>) -> Result<Self, ConfigError> {
        let file: ConfigFile =
            toml::from_str(text).map_err(|error| ConfigError::Malformed(error.to_string()))?;
        let listen = match file.listen {
            Some(listen) => (listen, Origin::File),
            None => (LISTEN.map(str::to_owned).to_vec(), Origin::Default),
        };
        let log = match (log, file.log) {
            (Some(log), _) => (log, Origin::Environment),
            (None, Some(log)) => (log, Origin::File),
            (None, None) => (LOG.to_owned(), Origin::Default),
        };
        let admin_socket = match file.admin_socket {
            Some(path) => (Some(folder.join(path)), Origin::File),
            None => (None, Origin::Default),
        };
        let key_file = match file.key_file {
            Some(path) => (folder.join(path), Origin::File),
            None => (folder.join("key"), Origin::Default),
        };
        let metrics = match file.metrics {
            Some(address) if !address.ip().is_loopback() => {
                let why = "metrics is no loopback address such as 127.0.0.1:9464";
                return Err(ConfigError::Malformed(why.to_owned()));
            }
            Some(address) => (Some(address), Origin::File),
            None => (None, Origin::Default),
        };
        Ok(Self {
            metrics,
            listen,
            admin_socket,
            log,
            key_file,
            reach: ReachConfig::read(folder, file.reach.unwrap_or_default()),
        })
    }

    /// Every value as text with its origin.
    pub fn values(&self) -> Vec<(&'static str, String, Origin)> {
        let socket = self.admin_socket.0.as_ref().map_or_else(
            || "admin.sock".to_owned(),
            |path| path.display().to_string(),
        );
        let mut values = vec![
            ("listen", self.listen.0.join(", "), self.listen.1),
            ("admin_socket", socket, self.admin_socket.1),
            ("log", self.log.0.clone(), self.log.1),
            (
                "key_file",
                self.key_file.0.display().to_string(),
                self.key_file.1,
            ),
            (
                "metrics",
                self.metrics
                    .0
                    .map_or_else(|| "off".to_owned(), |address| address.to_string()),
                self.metrics.1,
            ),
        ];
        values.extend(self.reach.values());
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_configuration_is_read_and_an_unknown_key_is_refused() {
        let folder = Path::new("node");
        let sample = include_str!("../../config/config.toml");

        let config = Config::read(folder, sample, None).expect("the sample");

        assert_eq!(config.listen.1, Origin::File);
        let default = Config::read(folder, "", None).expect("no configuration");
        assert_eq!(config.listen.0, default.listen.0);
        let misspelt = sample.replace("listen =", "lisen =");
        assert!(matches!(
            Config::read(folder, &misspelt, None),
            Err(ConfigError::Malformed(_))
        ));
    }

    #[test]
    fn a_node_behind_a_proxy_cannot_be_dialled_unless_the_file_says_so() {
        let inbound = |reach: &str| {
            let text = format!("[reach]\n{reach}");
            Config::read(Path::new("node"), &text, None).map(|config| config.reach.inbound)
        };
        let proxy = "proxy = \"http://proxy.example:3128\"";

        assert_eq!(inbound(""), Ok((Inbound::Auto, Origin::Default)));
        assert_eq!(inbound(proxy), Ok((Inbound::Closed, Origin::Default)));
        let open = format!("{proxy}\ninbound = \"open\"");
        assert_eq!(inbound(&open), Ok((Inbound::Open, Origin::File)));
        let unknown = inbound("inbound = \"ajar\"");
        assert!(matches!(unknown, Err(ConfigError::Malformed(_))));
    }

    #[test]
    fn every_key_of_reach_is_shown_with_its_origin() {
        let text = "[reach]\nrelay = true\nproxy_credentials = \"proxy\"";

        let config = Config::read(Path::new("node"), text, None).expect("a configuration");

        let shown = |key| {
            let values = config.values();
            let found = values.into_iter().find(|(name, _, _)| *name == key);
            found.map(|(_, value, origin)| (value, origin))
        };
        assert_eq!(
            shown("reach.relay"),
            Some(("true".to_owned(), Origin::File))
        );
        assert_eq!(
            shown("reach.proxy_credentials"),
            Some(("node/proxy".to_owned(), Origin::File))
        );
        assert_eq!(
            shown("reach.inbound"),
            Some(("auto".to_owned(), Origin::Default))
        );
        assert_eq!(shown("reach.proxy"), Some((String::new(), Origin::Default)));
    }

    #[test]
    fn metrics_are_off_and_stay_on_this_machine() {
        let metrics = |text: &str| {
            let config = Config::read(Path::new("node"), text, None);
            config.map(|config| config.metrics.0)
        };

        assert_eq!(metrics(""), Ok(None));
        let here = ([127, 0, 0, 1], 9464).into();
        assert_eq!(metrics("metrics = \"127.0.0.1:9464\""), Ok(Some(here)));
        for elsewhere in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "9464"] {
            let text = format!("metrics = \"{elsewhere}\"");
            let read = metrics(&text);
            assert!(
                matches!(read, Err(ConfigError::Malformed(_))),
                "{elsewhere}"
            );
        }
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let folder = Path::new("node");
        let log = |text, environment: Option<&str>| {
            Config::read(folder, text, environment.map(str::to_owned)).map(|config| config.log)
        };

        assert_eq!(log("", None), Ok(("info".to_owned(), Origin::Default)));
        assert_eq!(
            log("log = \"warn\"", None),
            Ok(("warn".to_owned(), Origin::File))
        );
        assert_eq!(
            log("log = \"warn\"", Some("debug")),
            Ok(("debug".to_owned(), Origin::Environment))
        );
    }
}
