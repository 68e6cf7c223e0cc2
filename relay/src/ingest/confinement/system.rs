//! The files of the system that any FFmpeg needs: programs, libraries, certificates, fonts, name resolution.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::environment;

/// Folders and files that are read. Left out on purpose: `/home`, `/root`, `/var`, `/srv`, `/tmp`, other processes in `/proc`, and
/// the rest of `/etc`, which holds the relay's configuration, passwords and keys.
const READ: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/sys",
    // This process alone, and facts of the machine.
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/proc/sys/kernel",
    // The loader, names of hosts and services, the time zone.
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/static",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/localtime",
    "/run/systemd/resolve",
    "/run/nscd",
    // Certificates that are trusted, and the settings of TLS. `/etc/ssl` itself has a folder of private keys.
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gnutls",
    // Drivers of graphics.
    "/etc/libva.conf",
    "/etc/drirc",
    "/etc/vulkan",
    "/etc/OpenCL",
    "/run/opengl-driver",
    "/etc/fonts",
];

/// Devices that are read and written.
pub(super) const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Variables that name folders of people, and not of programs.
const PERSONAL: &[&str] = &["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "PWD"];

/// What `program` reads: [`READ`], its own folder with its libraries, and what its environment names.
pub(super) fn read(program: &Path) -> Vec<PathBuf> {
    let variables = environment::passed().filter(|(name, _)| !PERSONAL.iter().any(|personal| name == personal));
    let named: Vec<PathBuf> = variables.flat_map(|(_, value)| absolute_paths(&value)).collect();
    let own = find(program).and_then(|program| program.canonicalize().ok());
    let own = own.iter().flat_map(|program| folders(program));
    READ.iter().map(PathBuf::from).chain(own).chain(named).collect()
}

/// The absolute paths in a list that is separated by colons. The root would be everything.
fn absolute_paths(value: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(value).filter(|path| path.is_absolute() && path.components().count() > 1).collect()
}

/// The program's folder, and its libraries': `…/bin` and `…/lib`.
fn folders(program: &Path) -> Vec<PathBuf> {
    let Some(folder) = program.parent() else { return Vec::new() };
    let lib = folder.parent().map(|above| above.join("lib"));
    std::iter::once(folder.to_owned()).chain(lib).collect()
}

/// The file of a program that is named as for a shell.
fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
