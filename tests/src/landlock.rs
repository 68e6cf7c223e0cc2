//! What of Landlock (landlock(7)) this machine's kernel supports.

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope};

/// Whether it restricts access to files.
pub fn restricts_files() -> bool {
    required(|rules| rules.handle_access(AccessFs::from_all(ABI::V1)))
}

/// Whether it restricts signals and TCP connections as well.
pub fn restricts_signals() -> bool {
    required(|rules| rules.handle_access(AccessFs::from_all(ABI::V1))?.scope(Scope::Signal))
}

fn required(handle: impl FnOnce(Ruleset) -> Result<Ruleset, RulesetError>) -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    handle(rules).and_then(Ruleset::create).is_ok()
}
