import ArgumentParser
import PI0Kit
import Wormhole

struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "List the cards of this machine and the devices a policy can run on.",
    discussion: "Example: pi0 devices")

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let cards = try CardDiscovery.cards()
    if json { return print(try encodeJSON(cards)) }
    if cards.isEmpty { print("This machine has no Tenstorrent card.") }
    for card in cards { print(card) }
    let devices = Device.names.joined(separator: ", ")
    print("Policies can run on: \(devices)")
  }
}
