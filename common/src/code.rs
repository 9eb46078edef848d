//! The stable codes of everything that can be refused, each with the exit code of a command that meets it and
//! one line of help.
//!
//! A code never changes its meaning and is never used again for another. On the wire it is its text, so that
//! an older program shows a newer code as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a command line's process returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    Failed = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Unreachable = 5,
}

macro_rules! codes {
    ($($variant:ident $text:literal $class:ident $help:literal)*) => {
        /// A stable code.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum Code {
            $(#[doc = $help] $variant,)*
            /// A code of a newer version.
            Other(String),
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)* Self::Other(text) => text }
            }

            /// Returns what to do, where whoever refuses knows nothing better.
            pub const fn help(&self) -> &'static str {
                match self { $(Self::$variant => $help,)* Self::Other(_) => "Upgrade this program to learn more about this code." }
            }

            pub const fn exit_class(&self) -> ExitClass {
                match self { $(Self::$variant => ExitClass::$class,)* Self::Other(_) => ExitClass::Failed }
            }
        }

        impl From<String> for Code {
            fn from(text: String) -> Self {
                match text.as_str() { $($text => Self::$variant,)* _ => Self::Other(text.chars().take(64).collect()) }
            }
        }
    };
}

codes! {
    BadRequest "bad_request" Usage "Correct the request and send it again."
    BadJobFile "bad_job_file" Usage "Correct the job file; `compute-share submit --help` shows every key."
    BadParams "bad_params" Usage "Correct the line; every line is an object of JSON, as in {\"lr\": 0.1, \"seed\": 7}."
    BadLink "bad_link" Usage "Paste the whole link, in single quotes."
    BadFolder "bad_folder" Usage "Remove or exclude what cannot be sent, then try again."
    Permission "permission_denied" Refused "Ask an admin of the org."
    NotFound "not_found" NotFound "Check the name or number; what you may not see counts as not found."
    NameTaken "name_taken" Refused "Choose another name."
    WrongState "wrong_state" Refused "Look at its state first."
    Limit "limit_reached" Refused "`compute-share org limits` shows every limit."
    NeverFits "never_fits" Refused "Ask for less, or add a machine that has it."
    KeyConflict "idempotency_conflict" Refused "Use another --idempotency-key for another job."
    CodeInvalid "code_invalid" Refused "Check the code, or ask for a new invitation."
    CodeUsed "code_used" Refused "Ask for a new invitation."
    CodeExpired "code_expired" Refused "Ask for a new invitation."
    CodeRevoked "code_revoked" Refused "Ask for a new invitation."
    TooManyTries "too_many_tries" Refused "Wait a minute, then try again with the right code."
    WrongFingerprint "wrong_fingerprint" Refused "Do not go on: ask whoever sent the link whether the coordinator was set up anew; if not, somebody is in between."
    NotSignedIn "not_signed_in" Refused "Run `compute-share login LINK` or `compute-share join LINK` first."
    CertificateExpired "certificate_expired" Refused "Sign in again with a new link: an admin makes one with `compute-share device link --user HANDLE`, whoever runs the coordinator with `compute-share-coordinator login-link`. A machine is registered again."
    CertificateRevoked "certificate_revoked" Refused "Ask an admin; this device or machine was removed."
    MachineNotApproved "machine_not_approved" Refused "Ask an admin to run `compute-share machine approve NAME`."
    MachineRejected "machine_rejected" Refused "Ask an admin why; register again once that is settled."
    NotRegistered "not_registered" Refused "Run `compute-share register --name NAME` first."
    AgentNotRunning "agent_not_running" Refused "Run `compute-share start` first."
    AgentRunning "agent_running" Refused "Run `compute-share stop` first."
    Version "version_mismatch" Failed "Upgrade the older of the two programs."
    Protocol "protocol_error" Failed "Upgrade both programs to the same version; report it if it stays."
    Unreachable "coordinator_unreachable" Unreachable "Check that the coordinator runs and that its UDP port is open."
    StoreLocked "store_locked" Refused "Stop the other process that uses this data folder."
    StoreNewer "store_newer" Refused "Use the version of the program that wrote it, or a newer one."
    StoreDamaged "store_damaged" Failed "Restore the last backup of the data folder."
    NotInitialised "not_initialised" Refused "Run `compute-share-coordinator init` first."
    AlreadyInitialised "already_initialised" Refused "Choose another --data folder, or run the coordinator that is there."
    DiskFull "disk_full" Failed "Free some space and try again."
    FileChanged "file_changed" Failed "Wait until nothing writes to the folder, then try again."
    Checksum "checksum_mismatch" Failed "Try again; if it stays, the disk may be failing."
    Busy "coordinator_busy" Failed "Try again in a moment."
    Cancelled "cancelled" Failed "Nothing was changed."
    ConfirmationNeeded "confirmation_needed" Usage "Add --yes to go ahead without being asked."
    Config "bad_configuration" Usage "Correct the file."
    BadImage "bad_image" Failed "Build the image anew, or ask whoever publishes it."
    ImageNotFound "image_not_found" NotFound "Check the image's name and tag, and whether its registry wants a login."
    RegistryRefused "registry_refused" Refused "Sign in to the registry with `docker login` or `podman login`; its file is read."
    RegistryForbidden "registry_forbidden" Refused "The owner of the machine that ran it may name the registry in owner.yaml, as in `what: {registries: [registry.lab:5000]}`."
    RegistryUnreachable "registry_unreachable" Failed "Check the registry's name and this computer's network."
    OwnerRules "owner_rules" Refused "`compute-share status` on that machine says what its owner allows."
    Io "io_error" Failed "Check the path, its rights and the space on its disk."
    BadSetting "bad_setting" Usage "`compute-share org settings` shows every setting and its value."
    Tampered "tampered" Failed "Compare with another copy, or with a seal that was written down; `compute-share-coordinator check` looks at the store itself."
    OwnerStays "owner_stays" Refused "Hand the org to an admin first with `compute-share org transfer HANDLE`, or delete it."
    NotAnAdmin "not_an_admin" Refused "Make them an admin first with `compute-share member set-role HANDLE admin`."
    WrongTypedName "wrong_typed_name" Refused "Type the org's name exactly as `compute-share org list` shows it, or give it with --confirm."
    OneOwner "one_owner" Refused "Choose admin or member; `compute-share org transfer HANDLE` hands the org over."
    BadPassword "bad_password" Usage "Choose a password of at least 10 characters."
    WrongPassword "wrong_password" Refused "Type your present password."
    ProofNeeded "proof_needed" Refused "Type your present password, or a code of your two-factor app."
    TwoFactorNeeded "two_factor_needed" Refused "Add --code with the code that your two-factor app shows now, or with a recovery code."
    TwoFactorWrong "two_factor_wrong" Refused "Wait for the next code of your two-factor app, or use another recovery code."
    TwoFactorRequired "two_factor_required" Refused "Run `compute-share account two-factor setup`."
    TokenInvalid "token_invalid" Refused "Copy the whole token, or make a new one with `compute-share token create`."
    TokenExpired "token_expired" Refused "Make a new token with `compute-share token create`."
    TokenRevoked "token_revoked" Refused "Make a new token with `compute-share token create`."
    TokenScope "token_scope" Refused "Use a token of a wider scope, or sign in as yourself."
    BadProfile "bad_profile" Usage "Use a name in one alphabet, and an address such as ada@lab.example."
    InUse "in_use" Refused "Wait until the jobs that use it have ended, or cancel them."
    NotUploaded "not_uploaded" Failed "Send the files again, then ask again: run the command once more."
    ClockDoubtful "clock_doubtful" Refused "Set the clock of the coordinator's computer."
    BadName "bad_name" Usage "Use lower-case letters a-z, digits, '-', '_' and '.', and begin with a letter or a digit."
    NoSuchRole "no_such_role" Usage "Write member or admin; `compute-share org transfer HANDLE` makes another owner."
    UnknownKey "unknown_key" Usage "Correct the key, or take it out; the command's --help shows the whole file."
    NegativeNumber "negative_number" Usage "Write 0 or more; to have no limit, leave the key out."
    NumberTooLarge "number_too_large" Usage "Write a smaller number; to have no limit, leave the key out."
    BadUnit "bad_unit" Usage "Write a number alone, or one with a unit: 64GiB or 2TiB of memory or storage, 30m, 24h or 7d of time."
    DuplicateKey "duplicate_key" Usage "Keep one of the two."
    SelfReference "self_reference" Usage "Write the value itself there, without `&` and `*`."
    SelfGrant "self_grant" Refused "Ask another administrator of the project; `compute-share project revoke` gives access back."
    ReservedName "reserved_name" Refused "Choose another name."
    StorageUnreachable "storage_unreachable" Failed "Try again in a moment; an admin sees with `compute-share org storage` where the org's data lives."
    StorageRefused "storage_refused" Refused "Ask the org's owner to look at its secrets S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, and at what they may do."
    StorageForeign "storage_foreign" Refused "Have the org's owner choose another prefix or bucket, or delete what is in this one where nothing needs it."
    NeverMet "dependency_never_met" Refused "Submit the job that it waits for anew, or wait for another condition: succeeded, failed, ended or started."
    NothingFailed "nothing_failed" Refused "Leave --failed out to run all tasks again, or name some with --task."
    Internal "internal_error" Failed "This is a bug: please report it with the log."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_come_back() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(Code::as_str).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from(code.as_str().to_owned()), *code);
            assert!(code.help().ends_with('.'), "{code}");
        }
        assert_eq!(
            Code::from("from_the_future".to_owned()).as_str(),
            "from_the_future"
        );
    }
}
