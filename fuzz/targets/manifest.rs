//! A tree's form on disk, its checksum made to match: what can be read comes back from what is written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use link::trees::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let _cut = Manifest::decode(bytes);
    let mut form = b"CSHTREE\x01".to_vec();
    form.extend_from_slice(bytes);
    let sum = common::tree::chunk_id(&form);
    form.extend_from_slice(sum.as_bytes());
    if let Ok(manifest) = Manifest::decode(&form) {
        let again = manifest.encode().expect("what was read can be written");
        let again = Manifest::decode(&again).expect("what was written can be read");
        assert_eq!(again.id(), manifest.id());
        assert_eq!(again.chunks(), manifest.chunks());
    }
});
