//! The node's configuration: defaults, then `config.toml` in its directory, then the environment.

use std::path::{Path, PathBuf};

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
        Ok(Self {
            listen,
            admin_socket,
            log,
            key_file,
        })
    }

    /// Every value as text with its origin.
    pub fn values(&self) -> Vec<(&'static str, String, Origin)> {
        let socket = self.admin_socket.0.as_ref().map_or_else(
            || "admin.sock".to_owned(),
            |path| path.display().to_string(),
        );
        vec![
            ("listen", self.listen.0.join(", "), self.listen.1),
            ("admin_socket", socket, self.admin_socket.1),
            ("log", self.log.0.clone(), self.log.1),
            (
                "key_file",
                self.key_file.0.display().to_string(),
                self.key_file.1,
            ),
        ]
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
