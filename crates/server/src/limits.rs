use medparse_imaging::Limits as PictureLimits;
use medparse_wire::WireLimits;

/// Bounds on what clients may send; everything is checked before memory is taken for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes of one body, after decompression; 32 MiB by default.
    pub body_bytes: usize,
    /// Rows, sentences and text of one request.
    pub wire: WireLimits,
    /// Size of one picture; 33,554,432 pixels by default.
    pub picture: PictureLimits,
    /// Pixels of one row's masks, all its sentences together; 536,870,912 by default (64 MiB, one bit a pixel).
    pub mask_pixels: u64,
    /// Bytes of the files of one scan that a page sends to look at; 512 MiB by default.
    pub volume_bytes: usize,
    /// Bytes of all bodies and waiting pictures together; 1 GiB by default. Whoever comes when it is used up gets 429.
    pub memory_bytes: usize,
    /// Bytes of encoded pictures that are kept for the next question; 1 GiB by default.
    pub encoding_bytes: usize,
    /// Characters of a request id; 100, as in Azure.
    pub id_length: usize,
    /// Connections open at once; 1024 by default. More wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            wire: WireLimits::default(),
            picture: PictureLimits {
                max_pixels: 32 << 20,
                max_encoded_bytes: 32 << 20,
                max_decoded_bytes: 512 << 20,
                ..PictureLimits::default()
            },
            mask_pixels: 512 << 20,
            volume_bytes: 512 << 20,
            memory_bytes: 1 << 30,
            encoding_bytes: 1 << 30,
            id_length: 100,
            connections: 1024,
        }
    }
}
