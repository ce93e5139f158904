import Foundation
import Glibc
import Logging

/// What attempts leave on the disk: measured when one ends, removed when the retention says so.
public enum AttemptOutput {
    /// Bytes of the files in a directory, as the disk has them; links are not followed. What can't be read is not counted.
    static func bytes(in path: String) -> Int64 {
        var total: Int64 = 0
        var pending = [path]
        while let directory = pending.popLast() {
            for name in (try? WholeFile.names(in: directory)) ?? [] {
                let entry = directory + "/" + name
                var found = stat()
                guard lstat(entry, &found) == 0 else { continue }
                total += Int64(found.st_blocks) * 512
                if found.st_mode & S_IFMT == S_IFDIR { pending.append(entry) }
            }
        }
        return total
    }

    /// Removes all attempts' directories of jobs. What is not there is no fault; what can't be removed is logged, and stays.
    ///
    /// - Parameter metadata: of a log line about the job.
    public static func remove(
        of jobIDs: [String], in jobsDirectory: String, logger: Logger,
        metadata: (_ jobID: String) -> Logger.Metadata = { ["job_id": "\($0)"] }
    ) {
        for id in jobIDs {
            guard AttemptDirectory.isSafeFileName(id) else { continue }
            let path = "\(jobsDirectory)/\(AttemptDirectory.shard(of: id))/\(id)"
            guard WholeFile.exists(path) else { continue }
            do {
                try remove(path)
            } catch {
                logger.error("the output of a job can't be removed: \(error)", metadata: metadata(id))
            }
        }
    }

    /// Follows no links. A directory that its owner has closed is opened first.
    private static func remove(_ path: String) throws(SystemError) {
        var found = stat()
        guard lstat(path, &found) == 0 else {
            if errno == ENOENT { return }
            throw SystemError("stat", path)
        }
        guard found.st_mode & S_IFMT == S_IFDIR else {
            guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink", path) }
            return
        }
        if found.st_mode & 0o700 != 0o700 { chmod(path, 0o700) }
        for name in try WholeFile.names(in: path) { try remove(path + "/" + name) }
        guard rmdir(path) == 0 || errno == ENOENT else { throw SystemError("rmdir", path) }
    }
}
