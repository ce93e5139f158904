import Testing

@testable import Orchestrator

@Suite struct CgroupPlacesTests {
    @Test func `version 2 is one place`() {
        let places = CgroupPlaces(
            groups: "0::/system.slice/dspy.service\n",
            mounts: "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
        #expect(places.unified == "/sys/fs/cgroup/system.slice/dspy.service")
        #expect(places.version1.isEmpty)
    }

    @Test func `version 1 is a place for each controller, mounted alone or together`() {
        let places = CgroupPlaces(
            groups: "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/s\n0::/\n",
            mounts: """
                31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
                32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
                33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
                """)
        #expect(places.version1["memory"] == "/sys/fs/cgroup/memory/a/b")
        #expect(places.version1["cpu"] == "/sys/fs/cgroup/cpu,cpuacct/c")
        #expect(places.unified == "/sys/fs/cgroup/unified")
    }

    @Test func `a container sees its own part of the tree`() {
        let mounts = "31 30 0:27 /docker/x /sys/fs/cgroup/my\\040memory ro - cgroup cgroup rw,memory\n"
        let inside = CgroupPlaces(groups: "4:memory:/docker/x/deeper\n", mounts: mounts)
        #expect(inside.version1["memory"] == "/sys/fs/cgroup/my memory/deeper")
        let itself = CgroupPlaces(groups: "4:memory:/docker/x\n", mounts: mounts)
        #expect(itself.version1["memory"] == "/sys/fs/cgroup/my memory")
        let outside = CgroupPlaces(groups: "4:memory:/docker/y\n", mounts: mounts)
        #expect(outside.version1["memory"] == nil)
    }

    @Test func `text that is none of it is no place`() {
        #expect(CgroupPlaces(groups: "x\n1:2\n", mounts: "1 2 3\n- - -\n") == CgroupPlaces(groups: "", mounts: ""))
    }
}
