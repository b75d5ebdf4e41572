// swift-tools-version: 6.2

import PackageDescription

let package = Package(
  name: "PI0Kit",
  products: [
    .library(name: "PI0Kit", targets: ["PI0Kit"]),
    .library(name: "PI0Tokenizer", targets: ["PI0Tokenizer"]),
    .library(name: "PI0Server", targets: ["PI0Server"]),
    .executable(name: "pi0", targets: ["pi0"]),
  ],
  dependencies: [
    // Read by the command line only; the library depends on nothing but the toolchain.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    // The server's network; who imports PI0Kit alone does not build them.
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    // Serves `Scripts/document` alone.
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"),
  ],
  targets: [
    // The Wormhole kernel driver, device memory, libnuma and hwloc.
    .systemLibrary(
      name: "CTTDevice", path: "Shims/CTTDevice", pkgConfig: "numa hwloc",
      providers: [.apt(["libnuma-dev", "libhwloc-dev"])]),
    // libpng and libjpeg-turbo, for the command line.
    .systemLibrary(
      name: "CImageCodecs", path: "Shims/CImageCodecs", pkgConfig: "libpng libturbojpeg",
      providers: [.apt(["libpng-dev", "libturbojpeg0-dev"])]),

    // The inner loops of the cpu backend. Without optimisation they are fifty times slower, and
    // debug builds would compute with that.
    .target(
      name: "CMicroKernels", path: "Shims/CMicroKernels", cSettings: [.unsafeFlags(["-O3"])]),

    // Google's tokenizer, by Debian's library; libsentencepiece-dev.
    .target(
      name: "CSentencePiece", path: "Shims/CSentencePiece",
      linkerSettings: [.linkedLibrary("sentencepiece")]),

    // Encodings and layouts that the host and the card's programs share.
    .target(name: "TensixISA"),
    // The card's programs, built by Scripts/build-device-kernels from Sources/TensixKernels.
    .target(name: "CTensixImages", path: "Shims/CTensixImages"),

    .target(name: "Wormhole", dependencies: ["CTTDevice", "TensixISA", "CTensixImages"]),

    // A card in software. It interprets, so that debug builds optimise it too.
    .target(
      name: "CEmulatorKernels", path: "Shims/CEmulatorKernels", cSettings: [.unsafeFlags(["-O3"])]),
    .target(
      name: "WormholeEmulator",
      dependencies: ["Wormhole", "TensixISA", "CEmulatorKernels", "CTensixImages"],
      swiftSettings: [.unsafeFlags(["-O", "-enforce-exclusivity=unchecked"])]),

    .target(
      name: "PI0Kit",
      dependencies: [
        "Wormhole", "WormholeEmulator", "CMicroKernels",
        .product(name: "Logging", package: "swift-log"),
      ]),
    // Sentences to token ids; who gives token ids does not need it.
    .target(name: "PI0Tokenizer", dependencies: ["PI0Kit", "CSentencePiece"]),
    // Policies over the network, by openpi's protocol.
    .target(
      name: "PI0Server",
      dependencies: [
        "PI0Kit", "Wormhole",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOWebSocket", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "Logging", package: "swift-log"),
      ]),
    .executableTarget(
      name: "pi0",
      dependencies: [
        "PI0Kit", "PI0Server", "PI0Tokenizer", "Wormhole", "CMicroKernels", "CImageCodecs",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ]),

    .testTarget(
      name: "WormholeTests",
      dependencies: ["Wormhole", "WormholeEmulator", "CEmulatorKernels", "CTTDevice", "TensixISA"]),
    .testTarget(
      name: "WormholeEmulatorTests",
      dependencies: [
        "WormholeEmulator", "Wormhole", "TensixISA", "CEmulatorKernels", "CTensixImages",
      ]),
    .testTarget(
      name: "PI0KitTests",
      dependencies: [
        "PI0Kit", "PI0Tokenizer", "CMicroKernels", .product(name: "Logging", package: "swift-log"),
      ]),
    .testTarget(name: "PI0TokenizerTests", dependencies: ["PI0Tokenizer", "PI0Kit"]),
    .testTarget(
      name: "PI0ServerTests",
      dependencies: [
        "PI0Server", "PI0Kit", "Wormhole",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ]),
    .testTarget(name: "pi0Tests", dependencies: ["pi0", "PI0Kit"]),
  ],
  swiftLanguageModes: [.v6]
)
