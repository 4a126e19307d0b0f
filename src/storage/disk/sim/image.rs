//! The bytes of one file: pages that copies of the file share, and nothing at all for pages of zeroes.
//!
//! Sharing makes a disk cheap to copy at every call of a sweep, and a zero-filled segment costs no memory.
//!
//! - A file never gets shorter, and a page holds zeroes beyond the file's length.

use std::io;

use crate::storage::bytes::all_zero;
use crate::sync::Arc;

/// How much of a write a crash keeps or loses as one.
pub(super) const PIECE_BYTES: usize = 512;
pub(super) type Piece = [u8; PIECE_BYTES];

const PAGE_BYTES: usize = 4096;
const FILE_BYTES_MAX: u64 = 1 << 34;
const EFBIG: i32 = 27;

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
    length: u64,
}

impl Image {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(bytes, 0);
        image
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills the buffer with what the file has from `offset` on, and says how much that is.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let available = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buffer.len().min(available);
        let mut position = offset as usize;
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        while !rest.is_empty() {
            let start = position % PAGE_BYTES;
            let (part, after) = rest.split_at_mut(rest.len().min(PAGE_BYTES - start));
            let page = self.pages.get(position / PAGE_BYTES).and_then(Option::as_deref);
            match page.and_then(|page| page.get(start..start + part.len())) {
                Some(source) => part.copy_from_slice(source),
                None => part.fill(0),
            }
            position += part.len();
            rest = after;
        }
        count
    }

    /// The end of such a write.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`]: a file takes 16 GiB.
    pub(super) fn end_of_write(bytes: &[u8], offset: u64) -> io::Result<u64> {
        offset
            .checked_add(bytes.len() as u64)
            .filter(|end| *end <= FILE_BYTES_MAX)
            .ok_or_else(|| io::Error::from_raw_os_error(EFBIG))
    }

    /// Writes, and extends the file if need be. The end must be in range.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        self.extend(offset + bytes.len() as u64);
        let mut position = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = position % PAGE_BYTES;
            let (part, after) = rest.split_at(rest.len().min(PAGE_BYTES - start));
            if let Some(page) = self.pages.get_mut(position / PAGE_BYTES) {
                write_page(page, part, start);
            }
            position += part.len();
            rest = after;
        }
    }

    /// Extends the file with zeroes, if it is not as long already.
    pub(super) fn extend(&mut self, length: u64) {
        self.length = self.length.max(length);
        self.pages.resize(self.length.div_ceil(PAGE_BYTES as u64) as usize, None);
    }

    /// The piece with this number; zeroes beyond the end of the file.
    pub(super) fn piece(&self, index: u64) -> Piece {
        let mut piece = [0; PIECE_BYTES];
        self.read(&mut piece, index * PIECE_BYTES as u64);
        piece
    }

    /// Replaces as much of the piece as the file's length has room for.
    pub(super) fn set_piece(&mut self, index: u64, piece: &Piece) {
        let offset = index * PIECE_BYTES as u64;
        let room = self.length.saturating_sub(offset).min(PIECE_BYTES as u64) as usize;
        self.write(piece.get(..room).unwrap_or(piece), offset);
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length as usize];
        self.read(&mut bytes, 0);
        bytes
    }
}

fn write_page(page: &mut Option<Arc<[u8; PAGE_BYTES]>>, part: &[u8], start: usize) {
    if page.is_none() && all_zero(part) {
        return;
    }
    let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
    if let Some(target) = page.get_mut(start..start + part.len()) {
        target.copy_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_take_no_memory_and_copies_share_their_pages() {
        let mut image = Image::default();
        image.write(&[0; 3 * PAGE_BYTES], 100);
        assert!(image.pages.iter().all(Option::is_none));
        image.write(b"x", 5000);
        let mut copy = image.clone();
        image.write(b"y", 9000);
        copy.write(&[0; PAGE_BYTES], 0);
        let page = |image: &Image| image.pages[1].clone().unwrap();
        assert!(Arc::ptr_eq(&page(&image), &page(&copy)));
        copy.write(b"z", 5000);
        assert_eq!((page(&image)[904], page(&copy)[904]), (b'x', b'z'));
    }
}
