//! `[cluster]`: the NATS servers by which relays show each other's streams.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::ConfigError;

/// Maximum length of a relay's name. It is part of stream names that two relays claim.
const NAME_MAX: usize = 32;

/// The configuration of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The addresses of NATS servers, `nats://` or `tls://`.
    pub servers: Vec<String>,
    /// The name of this relay: one token of a subject.
    pub name: String,
    /// The credentials for the servers.
    pub login: ClusterLogin,
    /// Where they are read from.
    login_files: LoginFiles,
    /// Certificates of authorities that sign the servers' certificates, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The first tokens of all subjects.
    pub subject_prefix: String,
    /// Whether other relays may show this one's streams.
    pub publish: bool,
    /// Whether this relay shows the streams of others.
    pub serve: bool,
}

/// Credentials for a NATS server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClusterLogin {
    /// None.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: ClusterSecret,
    },
    /// A token.
    Token(ClusterSecret),
    /// A JWT and an NKey seed: the contents of a `.creds` file.
    Credentials(ClusterSecret),
}

/// A secret for a NATS server. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(String);

impl ClusterSecret {
    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

/// The section's structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterSection {
    servers: Vec<String>,
    name: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password_file: Option<PathBuf>,
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default)]
    credentials_file: Option<PathBuf>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default = "default_prefix")]
    subject_prefix: String,
    #[serde(default = "super::yes")]
    publish: bool,
    #[serde(default = "super::yes")]
    serve: bool,
}

fn default_prefix() -> String {
    "sightline".to_owned()
}

impl ClusterSection {
    /// Whether the relay may be without streams of its own.
    pub(super) fn serves(&self) -> bool {
        self.serve
    }

    /// Checks the values. The credentials are read later, by [`Cluster::read`].
    pub(super) fn resolve(self) -> Result<Cluster, String> {
        if self.servers.is_empty() {
            return Err("cluster.servers is empty; name a NATS server, such as \"nats://127.0.0.1:4222\"".to_owned());
        }
        self.servers.iter().try_for_each(|server| check_server(server))?;
        if !is_token(&self.name) || self.name.len() > NAME_MAX {
            return Err(format!(
                "cluster.name = {:?} is no name of a relay; use 1 to {NAME_MAX} letters, digits, - and _",
                self.name
            ));
        }
        if !self.subject_prefix.split('.').all(is_token) {
            return Err(format!(
                "cluster.subject_prefix = {:?} is no beginning of a subject; use letters, digits, - and _, divided by dots",
                self.subject_prefix
            ));
        }
        if !self.publish && !self.serve {
            return Err("cluster has publish = false and serve = false, and does nothing; remove one of them, or \
                        [cluster]"
                .to_owned());
        }
        let login_files = LoginFiles::of(self.user, self.password_file, self.token_file, self.credentials_file)?;
        Ok(Cluster {
            servers: self.servers,
            name: self.name,
            login: ClusterLogin::None,
            login_files,
            ca_file: self.ca_file,
            subject_prefix: self.subject_prefix,
            publish: self.publish,
            serve: self.serve,
        })
    }
}

/// The files of a [`ClusterLogin`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum LoginFiles {
    #[default]
    None,
    Password(String, PathBuf),
    Token(PathBuf),
    Credentials(PathBuf),
}

impl LoginFiles {
    fn of(
        user: Option<String>,
        password: Option<PathBuf>,
        token: Option<PathBuf>,
        credentials: Option<PathBuf>,
    ) -> Result<Self, String> {
        match (user, password, token, credentials) {
            (None, None, None, None) => Ok(Self::None),
            (Some(user), Some(password), None, None) => Ok(Self::Password(user, password)),
            (None, None, Some(token), None) => Ok(Self::Token(token)),
            (None, None, None, Some(credentials)) => Ok(Self::Credentials(credentials)),
            (Some(_), None, None, None) => {
                Err("cluster.user has no password; name its file with cluster.password_file".to_owned())
            }
            (None, Some(_), None, None) => Err("cluster.password_file has no user; set cluster.user".to_owned()),
            _ => Err("cluster has several kinds of credentials; keep one of user with password_file, token_file and \
                      credentials_file"
                .to_owned()),
        }
    }

    /// Reads the files, which are relative to the folder of `configuration`.
    fn read(self, configuration: &Path) -> Result<ClusterLogin, ConfigError> {
        let read = |key, file: PathBuf, is_line| {
            let path = configuration.with_file_name("").join(file);
            let error = |problem: String| ConfigError::Cluster { key, path: path.clone(), problem };
            let text = std::fs::read_to_string(&path).map_err(|io| error(io.to_string()))?;
            let secret = if is_line { text.lines().next().unwrap_or_default() } else { &text };
            match secret.trim().is_empty() {
                true => Err(error("its first line is empty".to_owned())),
                false => Ok(ClusterSecret(secret.to_owned())),
            }
        };
        Ok(match self {
            Self::None => ClusterLogin::None,
            Self::Password(user, file) => {
                ClusterLogin::Password { user, password: read("cluster.password_file", file, true)? }
            }
            Self::Token(file) => ClusterLogin::Token(read("cluster.token_file", file, true)?),
            Self::Credentials(file) => ClusterLogin::Credentials(read("cluster.credentials_file", file, false)?),
        })
    }
}

impl Cluster {
    /// Reads the credentials and resolves the file of certificates, both relative to the configuration's folder.
    pub(super) fn read(self, configuration: &Path) -> Result<Self, ConfigError> {
        let ca_file = self.ca_file.map(|file| configuration.with_file_name("").join(file));
        let login = self.login_files.clone().read(configuration)?;
        Ok(Self { login, ca_file, ..self })
    }
}

/// Checks an address. The error does not quote it: it may have a password.
fn check_server(server: &str) -> Result<(), String> {
    let url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "nats" | "tls") && url.has_host());
    let Some(url) = url else {
        return Err("cluster.servers has an entry that is no address of a NATS server, such as \
                    \"nats://127.0.0.1:4222\" or \"tls://nats.example.org:4222\""
            .to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("cluster.servers has an address with a user, password or token; name them with cluster.user and \
                    cluster.password_file, or cluster.token_file"
            .to_owned());
    }
    Ok(())
}

/// Whether `text` is a token of a subject that needs no encoding.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(section: &str) -> Result<Config, String> {
        let text = format!("[cluster]\n{section}\n");
        crate::config::File::parse(&text).map_err(|(_, message)| message)?.resolve()
    }

    const GOOD: &str = "servers = [\"nats://127.0.0.1:4222\"]\nname = \"north\"\n";

    #[test]
    fn edge_needs_no_streams_of_its_own() {
        let cluster = parse(GOOD).unwrap().cluster.unwrap();
        assert!(cluster.publish && cluster.serve && cluster.subject_prefix == "sightline");
        assert!(parse(&format!("{GOOD}serve = false")).unwrap_err().contains("it names no stream"));
    }

    #[test]
    fn bad_value_is_one_error_with_its_key_and_remedy() {
        let name = "name = \"north\"\n";
        for (section, problem) in [
            (format!("servers = []\n{name}"), "cluster.servers is empty; name a NATS server"),
            (format!("servers = [\"127.0.0.1:4222\"]\n{name}"), "no address of a NATS server"),
            (format!("servers = [\"http://a\"]\n{name}"), "no address of a NATS server"),
            (format!("servers = [\"nats://u:secret@a\"]\n{name}"), "cluster.password_file"),
            ("servers = [\"nats://a\"]\nname = \"a.b\"".to_owned(), "use 1 to 32 letters"),
            ("servers = [\"nats://a\"]\nname = \"\"".to_owned(), "cluster.name"),
            (format!("{GOOD}subject_prefix = \"a..b\""), "cluster.subject_prefix"),
            (format!("{GOOD}publish = false\nserve = false\n[streams.a]\nsource = \"x\""), "does nothing"),
            (format!("{GOOD}user = \"u\""), "cluster.password_file"),
            (format!("{GOOD}password_file = \"p\""), "set cluster.user"),
            (format!("{GOOD}token_file = \"t\"\ncredentials_file = \"c\""), "several kinds of credentials"),
        ] {
            let error = parse(&section).unwrap_err();
            assert!(error.contains(problem) && !error.contains("secret"), "{section}: {error}");
        }
    }

    #[test]
    fn credentials_are_read_beside_the_configuration_and_never_printed() {
        let folder = std::env::temp_dir().join(format!("sightline-cluster-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("sightline.toml");
        std::fs::write(&config, format!("[cluster]\n{GOOD}user = \"u\"\npassword_file = \"password\"\n")).unwrap();
        let error = Config::read(&config).unwrap_err().to_string();
        assert!(error.contains("cluster.password_file") && error.contains("password\""), "{error}");
        std::fs::write(folder.join("password"), "\n").unwrap();
        assert!(Config::read(&config).unwrap_err().to_string().contains("empty"));
        std::fs::write(folder.join("password"), "hush\nrest\n").unwrap();
        let read = Config::read(&config).unwrap();
        assert!(!format!("{read:?}").contains("hush"));
        let ClusterLogin::Password { user, password } = read.cluster.unwrap().login else { panic!("a password") };
        assert_eq!((&*user, password.reveal()), ("u", "hush"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
