//! PyTorch files around pickles that a fuzzer made.

/// A whole `torch.save` file: this pickle beside one storage, `0`, of 64 bytes.
pub fn torch(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = (0..64).collect();
    let entries: [(&str, &[u8]); 3] =
        [("a/data.pkl", pickle), ("a/data/0", &storage), ("a/version", b"3\n")];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = (file.len() as u32).to_le_bytes();
        // Version, flags, stored without compression, no time, checksum, both sizes, the name's length, no extra field.
        let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        head.extend(crc32(content).to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&head);
        file.extend(name.bytes());
        file.extend(content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(name.bytes());
    }
    let start = (file.len() as u32).to_le_bytes();
    let count = (entries.len() as u16).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend([length, start].concat());
    file.extend([0, 0]);
    file
}

/// The checksum of zip archives, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}
