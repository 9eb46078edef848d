//! Loop devices: a file as a block device, by which a file system in it can be mounted.
#![allow(unsafe_code, reason = "requests of the loop driver")]

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

const CONTROL: &str = "/dev/loop-control";
/// Requests of the driver (linux/loop.h).
const GET_FREE: u64 = 0x4C82;
const CONFIGURE: u64 = 0x4C0A;
/// The device goes when nobody uses it any more.
const AUTOCLEAR: u32 = 4;
/// Tries to get a device that nobody else gets first.
const MAX_TRIES: usize = 64;

/// What a device is made of, as the driver reads it: `struct loop_config` with the `struct loop_info64` in it.
#[repr(C)]
struct Config {
    file: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    /// Names and keys, all unused here.
    texts: [u8; 160],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// A device, held; it lives as long as this or a mount of it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    _open: File,
}

impl Device {
    /// Makes a device of a file that has none.
    pub(super) fn of(image: &File) -> io::Result<Self> {
        let control = File::options().read(true).write(true).open(CONTROL)?;
        let config = Config {
            file: image.as_raw_fd().cast_unsigned(),
            block_size: 0,
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: AUTOCLEAR,
            texts: [0; 160],
            init: [0; 2],
            reserved: [0; 8],
        };
        for _ in 0..MAX_TRIES {
            // SAFETY: takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = File::options().read(true).write(true).open(&path)?;
            // SAFETY: `config` is what this request reads, and outlives the call.
            match unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const config) } {
                0 => {
                    let _open = device;
                    return Ok(Self { path, _open });
                }
                _ => {
                    let error = io::Error::last_os_error();
                    // Somebody else was faster.
                    if error.raw_os_error() != Some(libc::EBUSY) {
                        return Err(error);
                    }
                }
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Finds the device of a file that may have one: another would keep a memory of its own of what the file holds.
    pub(super) fn found(image: &Path) -> io::Result<Option<Self>> {
        let image = fs::canonicalize(image)?;
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let of = fs::read_to_string(entry.path().join("loop/backing_file"));
            if of.is_ok_and(|of| Path::new(of.trim_end_matches('\n')) == image) {
                let path = Path::new("/dev").join(entry.file_name());
                let _open = File::options().read(true).write(true).open(&path)?;
                return Ok(Some(Self { path, _open }));
            }
        }
        Ok(None)
    }
}
