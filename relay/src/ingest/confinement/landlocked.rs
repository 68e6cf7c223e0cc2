//! Applies a [`Confinement`] by Landlock (landlock(7)), as far as the kernel supports it.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};

use super::{Confinement, Files, TcpAccess, system};

/// Linux 6.12. The crate leaves out what an older kernel does not know.
const VERSION: ABI = ABI::V6;
/// Reads and writes a device, with its controls. No file can be made or removed.
const DEVICE: &[AccessFs] = &[AccessFs::ReadFile, AccessFs::ReadDir, AccessFs::WriteFile, AccessFs::IoctlDev];
/// Devices of the operator's options: all, and shared memory with their servers (sound).
const ALL_DEVICES: &str = "/dev";
const SHARED_MEMORY: &str = "/dev/shm";

/// Restricts this process, which becomes `program`.
pub(super) fn restrict(confinement: &Confinement, program: &Path) -> Result<(), RulesetError> {
    // FFmpeg writes a report, anywhere: an operator looks for a fault.
    let writes_report = std::env::var_os("FFREPORT").is_some();
    let handled = match confinement.files {
        Files::Unlisted => AccessFs::from_write(VERSION),
        Files::Listed { .. } => AccessFs::from_all(VERSION),
    };
    let mut rules = Ruleset::default().scope(Scope::Signal)?;
    if !writes_report {
        rules = rules.handle_access(handled)?;
    }
    if confinement.network != TcpAccess::Any {
        rules = rules.handle_access(AccessNet::from_all(VERSION))?;
    }
    let mut rules = rules.create()?;
    if !writes_report {
        rules = allow_files(rules, &confinement.files, program)?;
    }
    let rules = match confinement.network {
        TcpAccess::Any | TcpAccess::None => rules,
        TcpAccess::Guard(port) | TcpAccess::Proxy(port) => rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?,
    };
    rules.restrict_self().map(|_| ())
}

fn allow_files(rules: RulesetCreated, files: &Files, program: &Path) -> Result<RulesetCreated, RulesetError> {
    let device = DEVICE.iter().copied().collect::<BitFlags<AccessFs>>();
    match files {
        Files::Unlisted => rules
            .add_rules(path_beneath_rules([ALL_DEVICES], device & AccessFs::from_write(VERSION)))?
            .add_rules(path_beneath_rules([SHARED_MEMORY], AccessFs::from_write(VERSION))),
        Files::Listed { read, devices } => {
            let device_paths = system::DEVICES.iter().map(Path::new).chain(devices.iter().map(AsRef::as_ref));
            rules
                .add_rules(path_beneath_rules(system::read(program), AccessFs::from_read(VERSION)))?
                .add_rules(path_beneath_rules(read, AccessFs::from_read(VERSION)))?
                .add_rules(path_beneath_rules(device_paths, device))
        }
    }
}
