//! What the coordinator signs so that one machine lets another have a tree.
//!
//! Signed with the issuing key, checked against the issuing certificate that stands in every machine's own chain: who
//! trusts its certificate trusts what signed it. What is signed is no certificate and begins as none can.

use common::{
    id::{CertificateSerial, MachineId},
    time::Timestamp,
    wire::peer::{Grant, SignedGrant},
};
use rcgen::SigningKey as _;
use rustls::{SignatureScheme, crypto::aws_lc_rs};

use crate::{Authority, Identity, IssueError, identity::Credential, peer::parse_x509};

impl Authority {
    /// Signs a grant.
    ///
    /// # Errors
    /// Signing failed.
    pub fn sign_grant(&self, grant: Grant) -> Result<SignedGrant, IssueError> {
        let signature = self.issuing_key().sign(&grant.to_bytes());
        let signature = signature.map_err(IssueError::Sign)?;
        Ok(SignedGrant { grant, signature })
    }
}

impl Identity {
    /// Checks what another machine shows to this one, which must be the grant's `from`.
    ///
    /// # Errors
    /// Why nothing may be had for it.
    pub fn check_grant(
        &self,
        signed: &SignedGrant,
        from: MachineId,
        to: MachineId,
        certificate: CertificateSerial,
        now: Timestamp,
    ) -> Result<(), InvalidGrant> {
        let grant = &signed.grant;
        if grant.from != from {
            Err(InvalidGrant::OtherMachine)
        } else if grant.to != to || grant.certificate != certificate {
            Err(InvalidGrant::OtherHolder)
        } else if grant.expires_at <= now {
            Err(InvalidGrant::Expired)
        } else if !is_signed(self.credential(), &grant.to_bytes(), &signed.signature) {
            Err(InvalidGrant::Signature)
        } else {
            Ok(())
        }
    }
}

fn is_signed(own: &Credential, bytes: &[u8], signature: &[u8]) -> bool {
    let chain = own.chain();
    let [_, issuing, ..] = &chain[..] else {
        return false;
    };
    let Ok(issuing) = parse_x509(issuing) else {
        return false;
    };
    let key = &issuing.public_key().subject_public_key.data;
    let provider = aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms.mapping;
    let algorithms = known
        .iter()
        .find(|(scheme, _)| *scheme == SignatureScheme::ED25519);
    algorithms.is_some_and(|(_, algorithms)| {
        let mut algorithms = algorithms.iter();
        algorithms.any(|algorithm| algorithm.verify_signature(key, bytes, signature).is_ok())
    })
}

/// Why a grant opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    #[error("it is for another machine's data")]
    OtherMachine,
    #[error("it was given to another machine, or for another certificate of it")]
    OtherHolder,
    #[error("it has expired")]
    Expired,
    #[error("the coordinator has not signed it")]
    Signature,
}

#[cfg(test)]
mod tests {
    use common::id::TreeId;

    use super::*;
    use crate::{CertificateRequest, MACHINE_LIFE, PrivateKey, Subject};

    const FROM: MachineId = MachineId::from_bytes([1; 16]);
    const TO: MachineId = MachineId::from_bytes([2; 16]);
    const SERIAL: CertificateSerial = CertificateSerial::new([3; 16]);
    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
    const LATER: Timestamp = Timestamp::from_unix_ms(1_800_000_030_000);

    fn authority() -> (tempfile::TempDir, Authority) {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), &"lab".parse().unwrap(), NOW).unwrap();
        (dir, authority)
    }

    fn identity(authority: &Authority) -> Identity {
        let key = PrivateKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let subject = Subject::Machine(FROM);
        let issued = authority.issue(&request, subject, NOW, MACHINE_LIFE);
        Identity::new(issued.unwrap().chain, &key).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            tree: TreeId::new([4; 32]),
            from: FROM,
            to: TO,
            certificate: SERIAL,
            expires_at: LATER,
        }
    }

    #[test]
    fn a_grant_opens_one_tree_of_one_machine_for_one_other() {
        let (_dir, authority) = authority();
        let identity = identity(&authority);
        let signed = authority.sign_grant(grant()).unwrap();
        let check = |signed: &SignedGrant, from, to, serial, now| {
            identity.check_grant(signed, from, to, serial, now)
        };
        assert_eq!(check(&signed, FROM, TO, SERIAL, NOW), Ok(()));
        let expired = check(&signed, FROM, TO, SERIAL, LATER);
        assert_eq!(expired, Err(InvalidGrant::Expired));
        let replayed = check(&signed, FROM, FROM, SERIAL, NOW);
        assert_eq!(replayed, Err(InvalidGrant::OtherHolder));
        let renewed = CertificateSerial::new([9; 16]);
        let old = check(&signed, FROM, TO, renewed, NOW);
        assert_eq!(old, Err(InvalidGrant::OtherHolder));
        let elsewhere = check(&signed, TO, TO, SERIAL, NOW);
        assert_eq!(elsewhere, Err(InvalidGrant::OtherMachine));
        for change in [
            |grant: &mut Grant| grant.tree = TreeId::new([5; 32]),
            |grant: &mut Grant| grant.expires_at = Timestamp::from_unix_ms(u64::MAX),
        ] {
            let mut forged = signed.clone();
            change(&mut forged.grant);
            let checked = check(&forged, FROM, TO, SERIAL, NOW);
            assert_eq!(checked, Err(InvalidGrant::Signature));
        }
    }

    #[test]
    fn another_authority_signs_nothing_here() {
        let ((_a, ours), (_b, theirs)) = (authority(), authority());
        let identity = identity(&ours);
        let signed = theirs.sign_grant(grant()).unwrap();
        let checked = identity.check_grant(&signed, FROM, TO, SERIAL, NOW);
        assert_eq!(checked, Err(InvalidGrant::Signature));
    }
}
