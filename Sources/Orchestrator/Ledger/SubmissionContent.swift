extension JobSpec {
    /// The names of the fields in which a repeated submission differs from the job that has its id; empty when it is the
    /// same job. Source and trace are not content: a retry
    /// may come by another road.
    func differences(from other: JobSpec) -> [String] {
        var names: [String] = []
        if jobClass != other.jobClass { names.append("job_class") }
        if payload != other.payload { names.append("payload") }
        if priority != other.priority { names.append("priority") }
        if labels != other.labels { names.append("labels") }
        if timeout != other.timeout { names.append("timeout") }
        if retry != other.retry { names.append("retry") }
        if dependsOn != other.dependsOn { names.append("depends_on") }
        if resources != other.resources { names.append("resources") }
        if deadline != other.deadline { names.append("deadline") }
        return names
    }
}
