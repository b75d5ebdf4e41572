import CTTDevice
import Foundation
import XCTest

@testable import Wormhole

/// Mappings that vanish, with files that become shorter: the same signal as a card's reset.
final class MappingGuardTests: XCTestCase {
  private let size = 16384

  /// A mapping of a file with that one word in its first page.
  private func mapping(_ word: UInt32) throws -> (start: UnsafeMutableRawPointer, file: Int32) {
    let file = dup(fileno(try XCTUnwrap(tmpfile())))
    XCTAssertEqual(ftruncate(file, off_t(size)), 0)
    var start: UnsafeMutableRawPointer?
    XCTAssertEqual(tt_map(file, 0, UInt64(size), &start), 0)
    let mapped = try XCTUnwrap(start)
    tt_write32(mapped, word)
    return (mapped, file)
  }

  func testVanishedMappingReadsAsNothing() throws {
    let (start, file) = try mapping(7)
    let (other, otherFile) = try mapping(8)
    do {
      let lost = try MappingGuard(start, size: UInt64(size), card: "card")
      let kept = try MappingGuard(other, size: UInt64(size), card: "card")
      XCTAssertEqual(tt_read32(start), 7)
      XCTAssertFalse(lost.isLost)
      XCTAssertEqual(ftruncate(file, 0), 0)
      XCTAssertFalse(lost.isLost, "nobody has looked yet")
      tt_write32(start + size - 4, 1)
      XCTAssertTrue(lost.isLost)
      XCTAssertEqual(tt_read32(start), 0)
      XCTAssertFalse(kept.isLost)
      XCTAssertEqual(tt_read32(other), 8)
    }
    XCTAssertEqual(tt_unmap(start, UInt64(size)), 0)
    XCTAssertEqual(tt_unmap(other, UInt64(size)), 0)
    // The slot of one that is gone does not remember.
    let (again, third) = try mapping(9)
    do {
      let fresh = try MappingGuard(again, size: UInt64(size), card: "card")
      XCTAssertFalse(fresh.isLost)
    }
    XCTAssertEqual(tt_unmap(again, UInt64(size)), 0)
    for file in [file, otherFile, third] { close(file) }
  }

  /// Whatever is not the card's goes to the handler that was there before.
  func testOtherSignalsGoOn() throws {
    let guarding = UnsafeMutablePointer<tt_guard>.allocate(capacity: 1)
    guarding.initialize(to: tt_guard())
    defer { guarding.deallocate() }
    let (start, file) = try mapping(7)
    XCTAssertEqual(tt_guard_add(guarding, start, UInt64(size)), 0)
    var before = sigaction()
    before.__sigaction_handler.sa_sigaction = { number, _, _ in passedOn = number }
    before.sa_flags = SA_SIGINFO
    guarding.pointee.previous = before

    var info = siginfo_t()
    info.si_code = 2  // BUS_ADRERR
    for (address, isOurs) in [
      (start, true), (start + size - 1, true), (start + size, false), (start - 1, false),
    ] {
      passedOn = 0
      info._sifields._sigfault.si_addr = address
      tt_guard_handle(guarding, SIGBUS, &info, nil)
      XCTAssertEqual(passedOn, isOurs ? 0 : SIGBUS)
    }
    XCTAssertEqual(tt_guard_is_lost(guarding, 0), 1)

    // One that a process sent has no address, whatever stands there.
    info._sifields._sigfault.si_addr = start
    info.si_code = 0  // SI_USER
    tt_guard_handle(guarding, SIGBUS, &info, nil)
    XCTAssertEqual(passedOn, SIGBUS)

    tt_guard_remove(guarding, 0)
    XCTAssertEqual(tt_guard_is_lost(guarding, -1), 0)
    XCTAssertEqual(tt_unmap(start, UInt64(size)), 0)
    close(file)
  }

  func testAsManyAsThereAre() throws {
    let guarding = UnsafeMutablePointer<tt_guard>.allocate(capacity: 1)
    guarding.initialize(to: tt_guard())
    defer { guarding.deallocate() }
    let start = try XCTUnwrap(UnsafeMutableRawPointer(bitPattern: 0x1000))
    for slot in 0..<Int32(TT_GUARD_CAPACITY) {
      XCTAssertEqual(tt_guard_add(guarding, start, 4096), slot)
    }
    XCTAssertEqual(tt_guard_add(guarding, start, 4096), -ENOSPC)
    tt_guard_remove(guarding, 100)
    XCTAssertEqual(tt_guard_add(guarding, start, 4096), 100)
    tt_guard_remove(guarding, -1)
    tt_guard_remove(guarding, Int32(TT_GUARD_CAPACITY))
  }
}

private nonisolated(unsafe) var passedOn: Int32 = 0
