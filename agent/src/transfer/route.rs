//! Whence a tree comes and whither it goes: how each stream of a transfer begins.

use common::{
    id::{AttemptId, OrgId, TreeId},
    wire::{
        Message,
        agent::AgentStream,
        client::{ClientStream, DownloadSource, UploadPurpose},
        data::Announced,
    },
};

/// Somebody who has a tree.
pub trait Origin {
    type First: Message + Clone + Send + Sync + 'static;

    /// Returns what asks for the description.
    fn description(&self) -> Self::First;

    /// Returns what begins a stream of chunks of this tree.
    fn chunks(&self, tree: TreeId) -> Self::First;
}

/// Somebody who takes a tree.
pub trait Destination {
    type First: Message + Clone + Send + Sync + 'static;

    /// Returns what begins an upload.
    fn upload(&self, announced: Announced) -> Self::First;

    /// Returns what begins another stream of the upload that began on this one.
    fn pieces(&self, upload: u64) -> Self::First;
}

/// A dataset or artifacts, for a member.
#[derive(Debug, Clone)]
pub struct MemberTree {
    pub org: OrgId,
    pub source: DownloadSource,
}

impl Origin for MemberTree {
    type First = ClientStream;

    fn description(&self) -> ClientStream {
        let (org, source) = (self.org, self.source.clone());
        ClientStream::Download { org, source }
    }

    fn chunks(&self, tree: TreeId) -> ClientStream {
        let (org, source) = (self.org, self.source.clone());
        ClientStream::Chunks { org, source, tree }
    }
}

/// A tree of a machine's desired set.
#[derive(Debug, Clone, Copy)]
pub struct MachineTree(pub TreeId);

impl Origin for MachineTree {
    type First = AgentStream;

    fn description(&self) -> AgentStream {
        let (tree, beside) = (self.0, Vec::new());
        AgentStream::Download { tree, beside }
    }

    fn chunks(&self, tree: TreeId) -> AgentStream {
        AgentStream::Chunks { tree }
    }
}

/// A member's folder on its way to an org.
#[derive(Debug, Clone)]
pub struct OrgFiles {
    pub org: OrgId,
    pub purpose: UploadPurpose,
}

impl Destination for OrgFiles {
    type First = ClientStream;

    fn upload(&self, announced: Announced) -> ClientStream {
        let (org, purpose) = (self.org, self.purpose.clone());
        ClientStream::Upload {
            org,
            announced,
            purpose,
        }
    }

    fn pieces(&self, upload: u64) -> ClientStream {
        ClientStream::Pieces { upload }
    }
}

/// What an attempt left.
#[derive(Debug, Clone, Copy)]
pub struct AttemptFiles(pub AttemptId);

impl Destination for AttemptFiles {
    type First = AgentStream;

    fn upload(&self, announced: Announced) -> AgentStream {
        let attempt = self.0;
        AgentStream::Upload { attempt, announced }
    }

    fn pieces(&self, upload: u64) -> AgentStream {
        AgentStream::Pieces { upload }
    }
}
