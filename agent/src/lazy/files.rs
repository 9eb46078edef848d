//! A tree as a file system of the kernel's. What it says never changes, so the kernel may remember all of it.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEntry, ReplyOpen, ReplyStatfs, Request,
};

use super::{
    index::{Index, Kind, Node, ROOT},
    reads::Reads,
};
use crate::transfer::{FOLDER_MODE, SEALED_AT, file_mode};

/// What was said holds for as long as the mount.
const FOREVER: Duration = Duration::from_secs(1 << 30);
/// Whom the files belong to, as in a sandbox a cached tree's do: nobody.
const NOBODY: u32 = 65_534;
/// Requests of the kernel's own making, such as for what it reads ahead, that are under way at once.
const BACKGROUND: u16 = 64;
/// Nodes that are looked at in one go.
const NODES: u32 = 128;
const BLOCK_BYTES: u32 = 4096;

/// One mounted tree.
#[derive(Debug)]
pub(super) struct Files {
    reads: Arc<Reads>,
    mount: usize,
    /// Whether the kernel opens without asking.
    opens: bool,
}

impl Files {
    pub(super) const fn new(reads: Arc<Reads>, mount: usize) -> Self {
        Self {
            reads,
            mount,
            opens: false,
        }
    }

    fn index(&self) -> &Index {
        &self.reads.mount(self.mount).index
    }

    fn node(&self, inode: INodeNo) -> Result<(u32, Node), Errno> {
        let number = number(inode).ok_or(Errno::ENOENT)?;
        let node = self.index().node(number).map_err(|error| errno(&error))?;
        Ok((number, node))
    }

    fn opened(&self, reply: ReplyOpen, flags: FopenFlags) {
        if self.opens {
            // The kernel does not ask again, and keeps what it has read.
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), flags);
        }
    }

    /// Calls `add` with everything in a folder from `offset` on: the inode, the offset after it, the node, the name.
    /// It returns whether there is no more room.
    fn list(
        &self,
        folder: INodeNo,
        offset: u64,
        mut add: impl FnMut(INodeNo, u64, &Node, &OsStr) -> bool,
    ) -> Result<(), Errno> {
        let (number, node) = self.node(folder)?;
        if node.kind != Kind::Folder {
            return Err(Errno::ENOTDIR);
        }
        let (_, parent) = self.node(inode(node.parent))?;
        let dots = [(number, &node, "."), (node.parent, &parent, "..")];
        for (at, (number, node, name)) in (0..).zip(dots) {
            if at >= offset && add(inode(number), at + 1, node, OsStr::new(name)) {
                return Ok(());
            }
        }
        let children = node.children();
        let skipped = u32::try_from(offset.saturating_sub(2)).map_err(|_| Errno::EINVAL)?;
        let mut from = children.start.saturating_add(skipped);
        while from < children.end {
            let to = children.end.min(from.saturating_add(NODES));
            let nodes = self
                .index()
                .nodes_at(from..to)
                .map_err(|error| errno(&error))?;
            for (number, node) in (from..).zip(nodes) {
                let name = self.index().name(&node).map_err(|error| errno(&error))?;
                let after = u64::from(number - children.start) + 3;
                if add(inode(number), after, &node, OsStr::from_bytes(&name)) {
                    return Ok(());
                }
            }
            from = to;
        }
        Ok(())
    }
}

/// Returns a node's number, from the inode's.
fn number(inode: INodeNo) -> Option<u32> {
    u32::try_from(inode.0.checked_sub(1)?).ok()
}

fn inode(number: u32) -> INodeNo {
    INodeNo(u64::from(number) + 1)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_i32)
}

fn attributes(number: u32, node: &Node) -> FileAttr {
    let (kind, mode, links, size) = match node.kind {
        Kind::Folder => {
            let links = u32::try_from(node.size).unwrap_or(u32::MAX - 2) + 2;
            (
                FileType::Directory,
                FOLDER_MODE,
                links,
                u64::from(BLOCK_BYTES),
            )
        }
        Kind::File { executable } => (FileType::RegularFile, file_mode(executable), 1, node.size),
        Kind::Link => (FileType::Symlink, 0o777, 1, node.size),
    };
    let time = SystemTime::UNIX_EPOCH + SEALED_AT;
    FileAttr {
        ino: inode(number),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: u16::try_from(mode).unwrap_or(0o444),
        nlink: links,
        uid: NOBODY,
        gid: NOBODY,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
        ] {
            // What an older kernel does not know, it does without.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_background(BACKGROUND);
        let both = InitFlags::FUSE_NO_OPEN_SUPPORT | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        self.opens = config.capabilities().contains(both);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.node(parent).and_then(|(at, folder)| {
            let found = self.index().lookup(&folder, name.as_bytes());
            let found = found.map_err(|error| errno(&error))?;
            Ok(match found {
                Some((number, node)) => attributes(number, &node),
                // That there is no such name holds forever, too: said by an inode of no number.
                None => FileAttr {
                    ino: INodeNo(0),
                    ..attributes(at, &folder)
                },
            })
        });
        match found {
            Ok(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(inode) {
            Ok((number, node)) => reply.attr(&FOREVER, &attributes(number, &node)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let target = self
            .node(inode)
            .and_then(|(_, node)| self.index().target(&node).map_err(|error| errno(&error)));
        match target {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.opened(reply, FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match number(inode) {
            Some(number) => {
                let part = offset..offset.saturating_add(u64::from(size));
                self.reads.read(self.mount, number, part, reply);
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.opened(
            reply,
            FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
        );
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list(inode, offset, |inode, after, node, name| {
            let kind = match node.kind {
                Kind::Folder => FileType::Directory,
                Kind::File { .. } => FileType::RegularFile,
                Kind::Link => FileType::Symlink,
            };
            reply.add(inode, after, kind, name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(inode, offset, |inode, after, node, name| {
            let attributes = attributes(number(inode).unwrap_or(ROOT), node);
            reply.add(inode, after, name, &FOREVER, &attributes, Generation(0))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let index = self.index();
        let blocks = index.kept().div_ceil(u64::from(BLOCK_BYTES));
        let files = u64::from(index.nodes());
        reply.statfs(blocks, 0, 0, files, 0, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
