//! Takes an event stream apart as it comes.

/// What has come of a stream and was not read yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    buffer: Vec<u8>,
    /// No event ends before here.
    searched: usize,
}

/// One event.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

impl Events {
    /// All events of a stream that has ended.
    pub(crate) fn all(stream: &[u8]) -> Vec<Event> {
        let mut events = Self::default();
        events.feed(stream);
        std::iter::from_fn(|| events.take()).collect()
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event that is there whole.
    pub(crate) fn take(&mut self) -> Option<Event> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.windows(2).position(|two| two == b"\n\n") else {
            self.searched = self.buffer.len().saturating_sub(1);
            return None;
        };
        let after = self.buffer.split_off(self.searched + at + 2);
        let event = Event::parse(&std::mem::replace(&mut self.buffer, after));
        self.searched = 0;
        Some(event)
    }
}

impl Event {
    fn parse(lines: &[u8]) -> Self {
        let mut event = Self::default();
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data:") {
                event.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            } else if let Some(name) = line.strip_prefix(b"event:") {
                String::from_utf8_lossy(name).trim().clone_into(&mut event.name);
            }
        }
        event
    }
}
