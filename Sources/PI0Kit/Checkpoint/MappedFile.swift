import FoundationEssentials
import Glibc

/// A regular file, mapped into memory to read. The mapping ends with the object.
///
/// The file may be renamed or deleted meanwhile, but must not be shortened: the system answers
/// reads beyond the new end with a signal.
package final class MappedFile: @unchecked Sendable {
  // Unchecked only for the pointer: nobody writes to the bytes, and they live as long as `self`.

  let path: String
  package let bytes: UnsafeRawBufferPointer

  /// Maps the file at `path`.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` for everything but a readable, regular file that is
  ///   not empty.
  package init(path: String) throws(PI0Error) {
    guard !path.utf8.contains(0) else {
      throw .file(path: path, reason: "a path holds no NUL character: check how it was made")
    }
    // Without O_NONBLOCK, open waits for somebody to write to a FIFO.
    var descriptor: Int32
    repeat {
      descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else {
      throw .file(
        path: path,
        reason: "cannot open: \(Self.lastError); check the path and the permission to read it")
    }
    defer { close(descriptor) }

    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw .file(path: path, reason: "cannot tell its size: \(Self.lastError); try again")
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw .file(path: path, reason: "is a folder: name a file in it")
    default: throw .file(path: path, reason: "is no regular file: copy the contents to one")
    }
    guard status.st_size > 0 else {
      throw .file(path: path, reason: "is empty: download or write it again")
    }

    guard let start = mmap(nil, status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0),
      start != MAP_FAILED
    else {
      throw .file(
        path: path,
        reason: "cannot map \(status.st_size) bytes: \(Self.lastError); "
          + "raise the process's limit on address space (ulimit -v)")
    }
    self.path = path
    bytes = UnsafeRawBufferPointer(start: start, count: status.st_size)
  }

  /// The contents of a file of JSON, which is never so long as to fill the memory.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` for a file of more than 64 MiB.
  func json() throws(PI0Error) -> Data {
    guard bytes.count <= 64 << 20 else {
      throw .file(path: path, reason: "is too long to be JSON of a checkpoint: check the path")
    }
    return Data(bytes)
  }

  deinit {
    munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
  }

  private static var lastError: String { String(cString: strerror(errno)) }
}
