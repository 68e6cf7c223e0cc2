//! The environment of child processes: the relay's own, reduced to [`PASSED`].
//!
//! FFmpeg parses what cameras send, so it gets no secret that it does not need. The relay's environment holds the password and
//! the token key, and may hold secrets of other programs.

use std::ffi::{OsStr, OsString};

/// The variables that FFmpeg and its libraries read. A `*` at the end stands for any end.
///
/// Left out on purpose: `SIGHTLINE_*`, `LD_PRELOAD`, `LD_AUDIT`, and every name that is not listed.
const PASSED: &[&str] = &[
    // Finding programs, files and the user's configuration (`~/.ffmpeg`, `~/.config/pulse`).
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_DIRS",
    "XDG_RUNTIME_DIR",
    // Language and time zone of messages and of `drawtext`.
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TZDIR",
    // An FFmpeg with libraries of its own, and glibc's memory settings.
    "LD_LIBRARY_PATH",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    // FFmpeg's own: the report for debugging (ffmpeg-all(1)), and the proxy of http:// and https:// sources.
    "FFREPORT",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    // The certificates and settings of TLS sources, for OpenSSL and GnuTLS.
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "OPENSSL_CONF",
    "GNUTLS_*",
    // Video acceleration: libva (vaapi), VDPAU, Intel's dispatcher.
    "LIBVA_*",
    "VDPAU_*",
    "ONEVPL_*",
    "MFX_*",
    "INTEL_*",
    // NVIDIA (nvenc), also inside a container.
    "CUDA_*",
    "NVIDIA_*",
    "__NV_*",
    "__GL_*",
    "__GLX_*",
    // Mesa, AMD, Vulkan and OpenCL: which device and driver to use.
    "DRI_PRIME",
    "LIBGL_*",
    "MESA_*",
    "RADV_*",
    "AMD_*",
    "HSA_*",
    "ROCR_*",
    "VK_*",
    "OCL_*",
    "OPENCL_*",
    // Sources that are a screen or a sound card: x11grab, pulse, alsa, jack; fonts for `drawtext`.
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "PULSE_*",
    "PIPEWIRE_*",
    "ALSA_*",
    "JACK_*",
    "FONTCONFIG_*",
];

/// The variables of this process that a child process gets.
pub(super) fn passed() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| is_passed(name))
}

/// Whether [`PASSED`] lists the variable.
fn is_passed(name: &OsStr) -> bool {
    // A name that is not UTF-8 is not in the list.
    let Some(name) = name.to_str() else { return false };
    PASSED.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *entry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ffmpeg_gets_its_own_variables_and_no_secret() {
        for name in ["PATH", "HOME", "LC_ALL", "LD_LIBRARY_PATH", "LIBVA_DRIVER_NAME", "CUDA_VISIBLE_DEVICES"] {
            assert!(is_passed(name.as_ref()), "{name}");
        }
        for name in [
            "SIGHTLINE_PASSWORD",
            "SIGHTLINE_TOKEN_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "LD_PRELOAD",
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
            "PATHS",
            "",
        ] {
            assert!(!is_passed(name.as_ref()), "{name}");
        }
    }
}
