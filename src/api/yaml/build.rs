//! Parser events to nodes: aliases expanded, merge keys applied, hostile input bounded.
//!
//! Pure: it sees events and positions, never text. It exists apart from the driver because this
//! is where every rule of ours on top of YAML lives.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, ScalarStyle, Span, Tag};

use super::node::{Entry, Key, Node, NodeKind, Pos};
use super::parse::{Limits, YamlError};
use super::scalar::{Resolved, resolve};

/// A file with more unknown tags than this is no manifest; each costs the length of its prefix.
const MAX_UNKNOWN_TAGS: usize = 100;

/// Builds the documents of one file.
pub(super) struct Builder<'l> {
    limits: &'l Limits,
    /// Finished documents.
    pub(super) docs: Vec<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    /// Whether the text can hold an alias at all; without one no anchor is kept.
    has_aliases: bool,
    size: Size,
    unknown_tags: usize,
}

/// An open list or mapping.
struct Frame {
    pos: Pos,
    anchor: usize,
    /// Why the whole collection is unusable, if it is.
    fault: Option<Box<str>>,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<ReadKey> },
}

/// A mapping's key that waits for its value.
enum ReadKey {
    Scalar(Key),
    /// A list, a mapping or something invalid in place of a key.
    Unusable(Pos, Box<str>),
}

/// A node that an alias can name, with what a copy of it costs.
struct Anchored {
    node: Node,
    size: Size,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl<'l> Builder<'l> {
    pub(super) fn new(limits: &'l Limits, has_aliases: bool) -> Self {
        Self {
            limits,
            docs: Vec::new(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            has_aliases,
            size: Size::default(),
            unknown_tags: 0,
        }
    }

    /// The place where a span begins, counted from 1.
    pub(super) fn position(span: &Span) -> Pos {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Pos { line: narrow(span.start.line()), column: narrow(span.start.col() + 1) }
    }

    /// Takes the next event. An error is one that ends the reading of the file.
    pub(super) fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let pos = Self::position(&span);
        match event {
            Event::DocumentStart(_) => {
                // The parser keeps anchors across documents; YAML does not.
                self.anchors.clear();
                if self.docs.len() >= self.limits.documents {
                    let most = self.limits.documents;
                    return Err(YamlError::new(pos, format!("more than {most} documents")));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let pos = if span.is_empty() { self.empty_pos(pos) } else { pos };
                self.scalar(pos, &text, style, anchor, tag.as_deref())
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(pos, anchor, tag.as_deref(), "seq", Content::Seq(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), key: None };
                self.open(pos, anchor, tag.as_deref(), "map", content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(pos, anchor),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    /// A value that is not there stands where its key stands.
    fn empty_pos(&self, pos: Pos) -> Pos {
        match self.stack.last().map(|frame| &frame.content) {
            Some(Content::Map { key: Some(ReadKey::Scalar(key)), .. }) => key.pos,
            _ => pos,
        }
    }

    fn scalar(
        &mut self,
        pos: Pos,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), YamlError> {
        if text.len() > self.limits.scalar_bytes {
            let most = self.limits.scalar_bytes;
            return Err(YamlError::new(pos, format!("a scalar longer than {most} bytes")));
        }
        self.count(pos, Size { nodes: 1, bytes: text.len() })?;
        let kind = match scalar_kind(text, style == ScalarStyle::Plain, tag) {
            Ok(plain) => NodeKind::Scalar { text: text.into(), plain },
            Err(fault) => NodeKind::Invalid(self.tag_fault(pos, fault)?),
        };
        self.finish(Node { pos, kind }, anchor)
    }

    fn open(
        &mut self,
        pos: Pos,
        anchor: usize,
        tag: Option<&Tag>,
        own: &str,
        content: Content,
    ) -> Result<(), YamlError> {
        if self.stack.len() >= self.limits.depth {
            let most = self.limits.depth;
            return Err(YamlError::new(pos, format!("nested deeper than {most} levels")));
        }
        self.count(pos, Size { nodes: 1, bytes: 0 })?;
        let fault = match tag {
            Some(tag) if !is_core(tag, own) && !is_non_specific(tag) => {
                Some(self.tag_fault(pos, unknown_tag(tag))?)
            }
            _ => None,
        };
        self.stack.push(Frame { pos, anchor, fault, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(Frame { pos, anchor, fault, content }) = self.stack.pop() else { return Ok(()) };
        let kind = match (fault, content) {
            (Some(fault), _) => NodeKind::Invalid(fault),
            (None, Content::Seq(items)) => NodeKind::Seq(items),
            (None, Content::Map { mut entries, .. }) => {
                refuse_duplicates(&mut entries);
                NodeKind::Map(apply_merge_key(entries))
            }
        };
        self.finish(Node { pos, kind }, anchor)
    }

    fn alias(&mut self, pos: Pos, anchor: usize) -> Result<(), YamlError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = "an alias must follow the end of what it names, in the same document";
            return self.finish(Node { pos, kind: NodeKind::Invalid(message.into()) }, 0);
        };
        let size = anchored.size;
        self.count(pos, size)?;
        let node = self.anchors.get(&anchor).map(|anchored| anchored.node.clone());
        node.map_or(Ok(()), |node| self.finish(node, 0))
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if anchor > 0 && self.has_aliases {
            let size = size_of(&node);
            self.count(node.pos, size)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        let Some(frame) = self.stack.last_mut() else {
            if !node.is_null() {
                self.docs.push(node);
            }
            return Ok(());
        };
        match &mut frame.content {
            Content::Seq(items) => items.push(node),
            Content::Map { entries, key } => match key.take() {
                None => *key = Some(read_key(node)),
                Some(read) => entries.push(entry(read, node)),
            },
        }
        Ok(())
    }

    fn count(&mut self, pos: Pos, more: Size) -> Result<(), YamlError> {
        self.size.nodes += more.nodes;
        self.size.bytes += more.bytes;
        let Limits { nodes, text_bytes, .. } = *self.limits;
        if self.size.nodes > nodes {
            return Err(YamlError::new(pos, format!("more than {nodes} nodes, aliases expanded")));
        }
        if self.size.bytes > text_bytes {
            let message = format!("more than {text_bytes} bytes of text, aliases expanded");
            return Err(YamlError::new(pos, message));
        }
        Ok(())
    }

    fn tag_fault(&mut self, pos: Pos, fault: String) -> Result<Box<str>, YamlError> {
        self.unknown_tags += 1;
        if self.unknown_tags > MAX_UNKNOWN_TAGS {
            let message = format!("more than {MAX_UNKNOWN_TAGS} unusable tags");
            return Err(YamlError::new(pos, message));
        }
        Ok(fault.into())
    }
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    tag.suffix.strip_prefix("tag:yaml.org,2002:").map_or_else(
        || tag.is_yaml_core_schema() && tag.suffix == suffix,
        |verbatim| tag.handle.is_empty() && verbatim == suffix,
    )
}

/// The tag `!`, which makes a scalar a string and says nothing about a collection.
fn is_non_specific(tag: &Tag) -> bool {
    tag.handle.is_empty() && tag.suffix == "!"
}

fn unknown_tag(tag: &Tag) -> String {
    let name = if tag.is_yaml_core_schema() {
        format!("!!{}", tag.suffix)
    } else {
        format!("{}{}", tag.handle, tag.suffix)
    };
    let short: String = name.chars().take(60).collect();
    format!("unknown tag {short}")
}

/// Whether the scalar is to be read as plain, after its tag had its say.
fn scalar_kind(text: &str, plain: bool, tag: Option<&Tag>) -> Result<bool, String> {
    let Some(tag) = tag else { return Ok(plain) };
    if is_core(tag, "str") || is_non_specific(tag) {
        return Ok(false);
    }
    let resolved = resolve(text);
    let (known, fits) = if is_core(tag, "null") {
        ("null", resolved == Resolved::Null)
    } else if is_core(tag, "bool") {
        ("a boolean", matches!(resolved, Resolved::Bool(_)))
    } else if is_core(tag, "int") {
        ("an integer", matches!(resolved, Resolved::Unsigned(_) | Resolved::Signed(_)))
    } else if is_core(tag, "float") {
        let number =
            matches!(resolved, Resolved::Unsigned(_) | Resolved::Signed(_) | Resolved::Float(_));
        ("a number", number)
    } else if is_core(tag, "timestamp") {
        ("a timestamp", true)
    } else {
        return Err(unknown_tag(tag));
    };
    if fits { Ok(true) } else { Err(format!("tagged !!{}, but not {known}", tag.suffix)) }
}

fn read_key(node: Node) -> ReadKey {
    let what = match node.kind {
        NodeKind::Scalar { text, plain } => {
            return ReadKey::Scalar(Key { text, plain, pos: node.pos });
        }
        NodeKind::Invalid(message) => return ReadKey::Unusable(node.pos, message),
        NodeKind::Seq(_) => "a list",
        NodeKind::Map(_) => "a mapping",
    };
    ReadKey::Unusable(node.pos, format!("a key must be a scalar, not {what}").into())
}

fn entry(key: ReadKey, value: Node) -> Entry {
    match key {
        ReadKey::Scalar(key) => Entry { key, value },
        ReadKey::Unusable(pos, message) => Entry {
            key: Key { text: "?".into(), plain: false, pos },
            value: Node { pos, kind: NodeKind::Invalid(message) },
        },
    }
}

/// Makes the second and later of equal keys invalid.
fn refuse_duplicates(entries: &mut [Entry]) {
    /// Up to here comparing each with each is faster than hashing.
    const FEW: usize = 12;
    let mut repeated = Vec::new();
    if entries.len() <= FEW {
        for (at, entry) in entries.iter().enumerate() {
            let earlier = entries[..at].iter().find(|first| first.key.text == entry.key.text);
            repeated.extend(earlier.map(|first| (at, first.key.pos)));
        }
    } else {
        let mut seen: HashMap<&str, Pos> = HashMap::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            match seen.get(&*entry.key.text) {
                Some(first) => repeated.push((at, *first)),
                None => drop(seen.insert(&entry.key.text, entry.key.pos)),
            }
        }
    }
    for (at, first) in repeated {
        let Entry { key, value } = &mut entries[at];
        if !matches!(value.kind, NodeKind::Invalid(_)) {
            let message = format!("key {:?} given twice, first at {first}", key.text);
            *value = Node { pos: key.pos, kind: NodeKind::Invalid(message.into()) };
        }
    }
}

/// Replaces `<<` by the entries it names. Explicit keys win, then the earlier in a list.
fn apply_merge_key(mut entries: Vec<Entry>) -> Vec<Entry> {
    let is_merge = |entry: &Entry| entry.key.plain && &*entry.key.text == "<<";
    let Some(at) = entries.iter().position(is_merge) else { return entries };
    let sources = match merge_sources(&mut entries[at].value) {
        Ok(sources) => sources,
        Err((pos, message)) => {
            entries[at].value = Node { pos, kind: NodeKind::Invalid(message) };
            return entries;
        }
    };
    let mut taken: HashSet<Box<str>> = entries.iter().map(|entry| entry.key.text.clone()).collect();
    let mut merged = Vec::new();
    for source in sources {
        merged.extend(source.into_iter().filter(|entry| taken.insert(entry.key.text.clone())));
    }
    entries.splice(at..=at, merged);
    entries
}

/// The mappings that a merge key's value names, taken out of it.
fn merge_sources(value: &mut Node) -> Result<Vec<Vec<Entry>>, (Pos, Box<str>)> {
    let wrong = || "a merge key takes a mapping or a list of mappings".into();
    match &mut value.kind {
        NodeKind::Map(entries) => Ok(vec![std::mem::take(entries)]),
        NodeKind::Seq(items) => items
            .iter_mut()
            .map(|item| match &mut item.kind {
                NodeKind::Map(entries) => Ok(std::mem::take(entries)),
                NodeKind::Invalid(message) => Err((item.pos, message.clone())),
                _ => Err((item.pos, wrong())),
            })
            .collect(),
        NodeKind::Invalid(message) => Err((value.pos, message.clone())),
        NodeKind::Scalar { .. } => Err((value.pos, wrong())),
    }
}

fn size_of(node: &Node) -> Size {
    let mut size = Size { nodes: 1, bytes: 0 };
    let mut add = |more: Size| {
        size.nodes += more.nodes;
        size.bytes += more.bytes;
    };
    match &node.kind {
        NodeKind::Scalar { text, .. } | NodeKind::Invalid(text) => {
            add(Size { nodes: 0, bytes: text.len() });
        }
        NodeKind::Seq(items) => items.iter().map(size_of).for_each(add),
        NodeKind::Map(entries) => {
            for Entry { key, value } in entries {
                add(Size { nodes: 1, bytes: key.text.len() });
                add(size_of(value));
            }
        }
    }
    size
}
