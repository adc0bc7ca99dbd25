//! What a server keeps itself from: writing outside its folders, reaching out, starting programs.
//!
//! The kernel holds it to that (Landlock, <https://docs.kernel.org/userspace-api/landlock.html>), from the moment it is
//! asked until the process ends; a decoder that an attacker has taken over can't take it back. Reading stays free, as
//! deployments may name any model file that the server's user can read.

use std::path::PathBuf;

use thiserror::Error;

/// What the server still needs.
#[derive(Debug, Default)]
pub struct Needs {
    /// Folders in which it writes; those that are not there are passed over.
    pub folders: Vec<PathBuf>,
    /// The port that it listens on.
    pub port: u16,
    /// Whether it opens connections to others.
    pub connections: bool,
}

/// How much of it the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Writes, programs, connections and signals.
    Full,
    /// Less: an older kernel, which knows no rules for connections (before 6.7) or signals (before 6.12).
    Partial,
    /// Nothing: a kernel without Landlock, or another system.
    None,
}

/// A confinement that the kernel refused.
#[derive(Debug, Error)]
#[error("the kernel refused to confine the server ({0}); --confine off starts it without")]
pub struct ConfinementError(String);

/// Confines this thread and all that it starts: call it before any other thread is there.
///
/// # Errors
/// When a kernel that has Landlock refuses the rules.
#[cfg(target_os = "linux")]
pub fn confine(needs: &Needs) -> Result<Confinement, ConfinementError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetStatus, Scope, path_beneath_rules,
    };
    // The newest of which every rule has been tried; older kernels enforce what they know of it.
    let known = ABI::V6;
    let writing = AccessFs::from_write(known);
    let mut rules = Ruleset::default()
        .handle_access(writing | AccessFs::Execute)
        .and_then(|rules| rules.handle_access(AccessNet::BindTcp))
        .and_then(|rules| rules.scope(Scope::from_all(known)))
        .map_err(refused)?;
    if !needs.connections {
        rules = rules.handle_access(AccessNet::ConnectTcp).map_err(refused)?;
    }
    let status = rules
        .create()
        .and_then(|rules| rules.add_rules(path_beneath_rules(&needs.folders, writing)))
        .and_then(|rules| rules.add_rule(NetPort::new(needs.port, AccessNet::BindTcp)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(refused)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Full,
        RulesetStatus::PartiallyEnforced => Confinement::Partial,
        RulesetStatus::NotEnforced => Confinement::None,
    })
}

#[cfg(target_os = "linux")]
fn refused(error: landlock::RulesetError) -> ConfinementError {
    ConfinementError(error.to_string())
}

/// There is nothing of the kind on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &Needs) -> Result<Confinement, ConfinementError> {
    Ok(Confinement::None)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// What a confined thread may do; the rules end with it.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped check is said aloud")]
    fn only_what_is_needed_is_left() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("model"), "weights").unwrap();
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = peer.local_addr().unwrap();
        let absent = own.path().join("absent");
        let needs = Needs { folders: vec![own.path().into(), absent], port: 0, connections: false };
        let confined = move || {
            let found = confine(&needs).unwrap();
            if found == Confinement::None {
                eprintln!("skipped: this kernel has no Landlock");
                return;
            }
            let kind = |result: std::io::Result<()>| result.err().map(|error| error.kind());
            let denied = Some(ErrorKind::PermissionDenied);
            let (inside, outside) = (own.path(), other.path());
            fs::write(inside.join("state.tmp"), "1").unwrap();
            fs::rename(inside.join("state.tmp"), inside.join("state")).unwrap();
            assert_eq!(kind(fs::write(outside.join("new"), "1")), denied);
            assert_eq!(kind(fs::write(outside.join("model"), "1")), denied);
            assert_eq!(kind(fs::remove_file(outside.join("model"))), denied);
            assert_eq!(kind(fs::create_dir(outside.join("folder"))), denied);
            assert_eq!(fs::read_to_string(outside.join("model")).unwrap(), "weights");
            assert_eq!(kind(Command::new("/bin/true").status().map(drop)), denied);
            if found == Confinement::Full {
                assert_eq!(kind(TcpStream::connect(address).map(drop)), denied);
                assert!(TcpListener::bind("127.0.0.1:0").is_ok());
            }
        };
        std::thread::spawn(confined).join().unwrap();
        assert!(TcpStream::connect(address).is_ok());
    }
}
