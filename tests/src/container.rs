//! A command as a container runs it: in a read-only file system, under an account without rights and without a way to new ones
//! (mount_namespaces(7), user_namespaces(7), setpriv(1)). The files are this machine's.
//!
//! Root makes the mounts of a namespace of its own read-only. Other accounts are root of a user namespace for that.

use std::path::Path;
use std::process::Command;

/// Arguments: the user's id, the group's, a folder, whether the caller is root, and the command.
const ENTER: &str = r#"
set -eo pipefail
user=$1 group=$2 folder=$3 root=$4
shift 4
# /proc stays as it is, as in a container: the ids of a user namespace are written there.
findmnt --noheadings --raw --types noproc --output TARGET,VFS-OPTIONS | while read -r target options; do
    mount -o "remount,bind,${options/#rw/ro}" "$(printf %b "$target")"
done
cd "$folder"
# Root may write wherever the file system permits it.
if touch written 2>/dev/null; then
    echo "$folder is writable" >&2
    exit 1
fi
if [[ $root == yes ]]; then
    exec setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
fi
exec unshare --user --map-user="$user" --map-group="$group" setpriv --no-new-privs "$@"
"#;

/// What a Dockerfile says of the container that runs its image.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// The ids of its user and group.
    pub user: (String, String),
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments after them, if `docker run` has none.
    pub arguments: Vec<String>,
    /// The command that exits with 0 while the container is healthy, and with 1 otherwise.
    pub health: Vec<String>,
}

impl Image {
    /// Reads the last stage of a Dockerfile.
    ///
    /// # Panics
    /// When it lacks one of the instructions, or has one in another form than these need.
    pub fn of(dockerfile: &str) -> Self {
        let joined = dockerfile.replace("\\\n", "");
        let stage = joined.rsplit("\nFROM ").next().expect("a stage");
        let instruction = |name: &str| {
            let line = stage.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("the image has no {name}"))
        };
        let words = |json: &str| -> Vec<String> {
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{json} is not in the exec form: {error}"))
        };
        let (user, group) = instruction("USER").split_once(':').expect("USER has two ids");
        let (_options, health) = instruction("HEALTHCHECK").split_once("CMD ").expect("HEALTHCHECK has a command");
        Self {
            user: (user.to_owned(), group.to_owned()),
            entrypoint: words(instruction("ENTRYPOINT")),
            arguments: words(instruction("CMD")),
            health: words(health),
        }
    }

    /// The words before a command that runs it as in the image's container, with `folder` as the working directory.
    pub fn container(&self, folder: &Path) -> Vec<String> {
        let root = rustix::process::geteuid().is_root();
        let (user, group) = &self.user;
        let folder = folder.to_str().expect("the path is UTF-8");
        let mut words = vec!["unshare", "--mount"];
        if !root {
            words.extend(["--user", "--map-root-user"]);
        }
        words.extend(["bash", "-c", ENTER, "bash", user, group, folder, if root { "yes" } else { "no" }]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// Why this machine runs no such container: it permits no mount namespace. None if it does.
    ///
    /// # Panics
    /// When `unshare` is not installed, or the container does not start although there are namespaces.
    pub fn obstacle(&self, folder: &Path) -> Option<String> {
        let words = self.container(folder);
        let namespace = words.iter().take_while(|word| *word != "bash").count();
        let run = |words: &[String]| {
            let output = Command::new(&words[0]).args(&words[1..]).arg("true").output();
            let output = output.expect("unshare is part of util-linux");
            (output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
        };
        let (permitted, said) = run(&words[..namespace]);
        if !permitted {
            return Some(format!("this machine permits no mount namespace: {said}"));
        }
        let (started, said) = run(&words);
        assert!(started, "{said}");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_the_last_stage_are_read() {
        let image = Image::of(
            "FROM a\nUSER 1:1\nCMD [\"a\"]\nFROM b\n# USER 2:2\nUSER 3:4\n\
             HEALTHCHECK --timeout=5s CMD [\"sh\", \"-c\", \"\\\nx\"]\nENTRYPOINT [\"b\"]\nCMD [\"--c\", \"d\"]\n",
        );
        assert_eq!(image.user, ("3".to_owned(), "4".to_owned()));
        assert_eq!((image.entrypoint, image.arguments), (vec!["b".to_owned()], vec!["--c".to_owned(), "d".to_owned()]));
        assert_eq!(image.health, ["sh", "-c", "x"]);
    }
}
