//! The pumps against plain pipes: no process is needed to fill or close one.

use super::*;
use tokio::net::unix::pipe::pipe;

#[tokio::test]
async fn output_of_exactly_the_limit_is_kept_and_one_byte_more_is_too_large() {
    for (written, expected) in [(10, Pumped::Ended), (11, Pumped::TooLarge)] {
        let (mut sender, receiver) = pipe().unwrap();
        sender.write_all(&vec![b'x'; written]).await.unwrap();
        drop(sender);
        let mut out = BytesMut::new();
        assert_eq!(read_capped(receiver, &mut out, 10).await, expected);
        assert_eq!(out.len(), 10);
    }
}

#[tokio::test]
async fn an_endless_writer_is_cut_off_without_keeping_what_it_wrote() {
    let (mut sender, receiver) = pipe().unwrap();
    let writer =
        tokio::spawn(async move { while sender.write_all(&[b'x'; 4096]).await.is_ok() {} });
    let mut out = BytesMut::new();
    assert_eq!(read_capped(receiver, &mut out, 1 << 20).await, Pumped::TooLarge);
    assert_eq!(out.len(), 1 << 20);
    assert!(out.capacity() <= 4 << 20);
    writer.await.expect("the pipe is closed, so the writer ends");
}

#[test]
fn the_tail_keeps_the_last_bytes_and_counts_the_others() {
    let mut tail = Captured::new(Limits { stdout: 0, stderr_tail: 8 });
    for digit in b'0'..=b'9' {
        let Captured { stderr, stderr_dropped, .. } = &mut tail;
        keep_tail(&[digit; 3], stderr, 8, stderr_dropped);
        assert!(stderr.len() <= 16);
    }
    let (_, stderr) = tail.finish();
    assert_eq!(stderr.bytes, "77888999".as_bytes());
    assert_eq!(stderr.dropped, 22);
}

#[test]
fn a_short_stderr_is_kept_whole() {
    let mut tail = Captured::new(Limits::default());
    let Captured { stderr, stderr_dropped, .. } = &mut tail;
    keep_tail(b"one line\n", stderr, 64 << 10, stderr_dropped);
    let (_, stderr) = tail.finish();
    assert_eq!((stderr.bytes.as_ref(), stderr.dropped), (b"one line\n".as_slice(), 0));
}

#[tokio::test]
async fn input_that_nobody_reads_does_not_hold_the_pump() {
    let (stdin, reader) = pipe().unwrap();
    let (sender, stdout) = pipe().unwrap();
    let (errors, stderr) = pipe().unwrap();
    drop((sender, errors));
    let mut captured = Captured::new(Limits::default());
    let input = Bytes::from(vec![b'x'; 1 << 20]);
    let pumped = Pipes { stdin, stdout, stderr }.pump(input, &mut captured).await;
    assert_eq!(pumped, Pumped::Ended);
    drop(reader);
}

#[tokio::test]
async fn input_larger_than_a_pipe_flows_while_output_flows_back() {
    let (stdin, mut reader) = pipe().unwrap();
    let (mut sender, stdout) = pipe().unwrap();
    let (errors, stderr) = pipe().unwrap();
    drop(errors);
    let echo = tokio::spawn(async move {
        let mut chunk = vec![0; 4096];
        loop {
            match reader.read(&mut chunk).await.unwrap() {
                0 => return,
                n => sender.write_all(&chunk[..n]).await.unwrap(),
            }
        }
    });
    let mut captured = Captured::new(Limits::default());
    let input = Bytes::from(vec![b'x'; 1 << 20]);
    Pipes { stdin, stdout, stderr }.pump(input.clone(), &mut captured).await;
    echo.await.unwrap();
    assert_eq!(captured.finish().0, input);
}

#[tokio::test]
async fn too_much_output_ends_the_pump_while_the_writer_lives_on() {
    let (stdin, _reader) = pipe().unwrap();
    let (mut sender, stdout) = pipe().unwrap();
    let (_errors, stderr) = pipe().unwrap();
    sender.write_all(b"four").await.unwrap();
    let mut captured = Captured::new(Limits { stdout: 3, stderr_tail: 3 });
    let pumped = Pipes { stdin, stdout, stderr }.pump(Bytes::new(), &mut captured).await;
    assert_eq!(pumped, Pumped::TooLarge);
    assert_eq!(sender.try_write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
