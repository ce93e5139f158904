import Foundation
import Testing

@testable import Orchestrator

@Suite struct GPUDevicesTests {
    @Test func `gpu jobs at the same time have different devices, and no device is lost`() async throws {
        let scratch = try Scratch()
        let gpus = GPUDevices(["0", "1"])
        let runner = try scratch.runner { $0.gpus = gpus }
        let seen = await withTaskGroup(of: [UInt8].self) { group in
            for number in 0..<6 {
                group.addTask {
                    var job = scratch.job(
                        shell: "mkdir \(scratch.path)/held-$CUDA_VISIBLE_DEVICES || exit 9; sleep 0.02; "
                            + "rmdir \(scratch.path)/held-$CUDA_VISIBLE_DEVICES; "
                            + "echo __DSPY_RESULT__:$CUDA_VISIBLE_DEVICES", id: "gpu-\(number)")
                    job.spec.jobClass = .gpu
                    return await runner.run(job).outcome?.result ?? []
                }
            }
            return await group.reduce(into: Set<[UInt8]>()) { $0.insert($1) }
        }
        #expect(seen == [Array("0".utf8), Array("1".utf8)])
        #expect(await gpus.take(2) == ["0", "1"])
    }

    @Test func `other jobs see what the payload says`() async throws {
        let scratch = try Scratch()
        let runner = try scratch.runner { $0.gpus = GPUDevices(["0"]) }
        let job = scratch.job(shell: #"test -z "${CUDA_VISIBLE_DEVICES+x}""#)
        #expect(await runner.run(job).outcome == AttemptOutcome())
    }

    @Test func `a device that an attempt from before has is not given away`() async throws {
        let gpus = GPUDevices(["0", "1"])
        gpus.adopt(["0"])
        #expect(await gpus.take(1) == ["1"])
        gpus.giveBack(["0"])
        #expect(await gpus.take(1) == ["0"])
        // More than there are is all of them, and nothing waits for what never comes.
        gpus.giveBack(["0", "1"])
        #expect(await gpus.take(5) == ["0", "1"])
    }

    @Test func `devices and their use are read from nvidia-smi where there is one`() async throws {
        let scratch = try Scratch()
        let program = scratch.path + "/nvidia-smi"
        try WholeFile.write(
            Array(
                #"""
                #!/bin/sh
                case $1 in
                --query-gpu=index) printf '0\n1\n' ;;
                --query-gpu=utilization.gpu) printf '30\n50\n' ;;
                esac
                """#.utf8), to: program, mode: 0o755)
        // A process that another test has just forked off may still hold it open for writing, and so keep it from running.
        try await eventually { GPUDevices(.auto, path: "/no/such:\(scratch.path)").all == ["0", "1"] }
        #expect(GPUDevices.utilization(path: scratch.path) == 0.4)
        #expect(GPUDevices(.auto, path: "/no/such").all.isEmpty)
        #expect(GPUDevices.utilization(path: "/no/such") == nil)
    }
}
